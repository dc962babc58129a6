import Files
import Foundation
import Layers
import Models
import Tensors
import TestSupport
import Testing

/// Folders in NF4 as transformers and bitsandbytes save them: `Tests/Fixtures/nf4_folders`.
@Suite("NF4 folders") struct NF4FolderTests {
    static let folders: [(String, DType)] = [("nf4", .nf4), ("nf4-double", .nf4DoubleQuant)]

    private func sequences() throws -> [[Int32]] {
        let golden = try JSON(contentsOf: Locations.fixture("models/tiny-llama/golden.json"))
        return (golden["sequences"]?.array ?? []).map { sequence in
            (sequence["tokens"]?.array ?? []).compactMap { $0.integer.map(Int32.init) }
        }
    }

    @Test(
        "what bitsandbytes saved gives its numbers, and is what quantising the original here gives", arguments: folders)
    func theirs(_ name: String, _ type: DType) throws {
        let loaded = try ModelRegistry.load(Locations.fixture("nf4_folders/\(name)"), weights: type)
        #expect(loaded.weights == type && loaded.quantizationErrors.isEmpty)
        let golden = try JSON(contentsOf: Locations.fixture("nf4_folders/golden.json"))[name]?.array ?? []
        for (tokens, expected) in zip(try sequences(), golden) {
            let numbers = (expected.array ?? []).compactMap(\.number)
            let ours = logProbabilities(loaded.model, tokens).map(Double.init)
            #expect(distance(ours, numbers, relative: 0, absolute: 1e-4) <= 1)
        }
        let again = try ModelRegistry.load(Locations.fixture("models/tiny-llama"), weights: type)
        for ((path, theirs), (_, ours)) in zip(loaded.model.parameters(), again.model.parameters()) {
            #expect(theirs.value.dtype == ours.value.dtype, "\(path)")
            guard theirs.value.dtype == type else { continue }
            let (x, y) = (theirs.value.quantizedParts, ours.value.quantizedParts)
            #expect(x.codes == y.codes && x.scales == y.scales, "\(path)")
            // The mean of the absmax depends on the width of the registers of the machine that took it.
            if Device.cpu.path != "avx512" {
                #expect(x.nestedCodes == y.nestedCodes && x.nestedScales == y.nestedScales && x.offset == y.offset)
            }
        }
    }

    @Test("a folder in NF4 is read as any other storage, its numbers being those that come back", arguments: folders)
    func otherStorage(_ name: String, _ type: DType) throws {
        let folder = Locations.fixture("nf4_folders/\(name)")
        let (stored, plain) = (try ModelRegistry.load(folder, weights: type), try ModelRegistry.load(folder))
        let tokens = try sequences()[0]
        #expect(logProbabilities(stored.model, tokens) == logProbabilities(plain.model, tokens))
        #expect(plain.weights == .f32)
        // The other kind of NF4 is not made of it.
        let other: DType = type == .nf4 ? .nf4DoubleQuant : .nf4
        #expect(try ModelRegistry.load(folder, weights: other).weights == type)
    }

    @Test(
        "what is written is named and typed as bitsandbytes does it, and comes back to the bit",
        arguments: ["tiny-llama", "tiny-llama-untied", "tiny-qwen2"], [DType.nf4, .nf4DoubleQuant])
    func written(_ base: String, _ type: DType) throws {
        let output = try TemporaryFolder()
        let loaded = try ModelRegistry.load(Locations.fixture("models/\(base)"), weights: type)
        try writeHuggingFaceFolder(
            loaded, tokenizer: loaded.checkpoint.tokenizer(), to: output.file("model"), dtype: type)
        let again = try ModelRegistry.load(output.file("model"), weights: type)
        #expect(again.weights == type)
        for ((path, before), (_, after)) in zip(loaded.model.parameters(), again.model.parameters()) {
            let isMatrix = before.value.dtype.isQuantized
            #expect(isMatrix == after.value.dtype.isQuantized, "\(path)")
            if isMatrix {
                let (x, y) = (before.value.quantizedParts, after.value.quantizedParts)
                #expect(
                    x.codes == y.codes && x.scales == y.scales && x.nestedCodes == y.nestedCodes
                        && x.nestedScales == y.nestedScales && x.offset == y.offset, "\(path)")
            } else {
                #expect(before.value.values == after.value.values, "\(path)")
            }
        }
        guard base == "tiny-llama" else { return }
        // The same tensors as in the folder that bitsandbytes wrote.
        let name = type == .nf4 ? "nf4" : "nf4-double"
        let theirs = try SafetensorsFile(Locations.fixture("nf4_folders/\(name)/model.safetensors"))
        let ours = try SafetensorsFile(output.file("model/model.safetensors"))
        #expect(ours.names.sorted() == theirs.names.sorted())
        for tensor in theirs.names where !tensor.contains("quant_state") {
            let (x, y) = (try ours.entry(tensor), try theirs.entry(tensor))
            #expect(x.shape == y.shape && x.type == y.type, "\(tensor)")
            if tensor.hasSuffix("quant_map") || tensor.hasSuffix("proj.weight") {
                #expect(try Array(ours.rawBytes(tensor)) == Array(theirs.rawBytes(tensor)), "\(tensor)")
            }
        }
    }

    @Test(
        "a head in NF4 is written so where it is the head's own, an embedding never, and config.json lists what is not",
        arguments: [
            ("tiny-llama", [], ["lm_head"]), ("tiny-llama-untied", [], []),
            ("tiny-llama-untied", ["lm_head", "layers.1.mlp.up_proj"], ["model.layers.1.mlp.up_proj", "lm_head"]),
        ])
    func head(_ base: String, _ skipped: [String], _ listed: [String]) throws {
        let output = try TemporaryFolder()
        let loaded = try ModelRegistry.load(
            Locations.fixture("models/\(base)"), weights: .nf4, skipping: SkippedModules(skipped))
        try writeHuggingFaceFolder(
            loaded, tokenizer: loaded.checkpoint.tokenizer(), to: output.file("model"), dtype: .nf4)
        let settings = try JSON(contentsOf: output.file("model/config.json"))["quantization_config"]
        #expect(settings?["llm_int8_skip_modules"]?.array?.compactMap(\.string) == listed)
        // What the file holds in NF4 stays so without being asked for.
        let again = try ModelRegistry.load(output.file("model"), weights: .nf4)
        for (path, parameter) in again.model.parameters() where parameter.value.shape.count == 2 {
            let isPlain = path.contains("embed_tokens") || listed.contains { path.contains($0) }
            #expect(parameter.value.dtype.isQuantized == !isPlain, "\(path)")
        }
        let tokens = try sequences()[0]
        #expect(logProbabilities(again.model, tokens) == logProbabilities(loaded.model, tokens))
    }

    @Test("a merged model is quantised as it is written, and a folder of NF4 written in f32 says nothing of NF4")
    func rewritten() throws {
        let output = try TemporaryFolder()
        let loaded = try ModelRegistry.load(Locations.fixture("nf4_folders/nf4"), weights: .nf4)
        let tokenizer = try loaded.checkpoint.tokenizer()
        try writeHuggingFaceFolder(loaded, tokenizer: tokenizer, to: output.file("f32"), dtype: .f32)
        #expect(try JSON(contentsOf: output.file("f32/config.json"))["quantization_config"] == nil)
        let plain = try ModelRegistry.load(output.file("f32"))
        let tokens = try sequences()[0]
        #expect(logProbabilities(plain.model, tokens) == logProbabilities(loaded.model, tokens))
        try writeHuggingFaceFolder(plain, tokenizer: tokenizer, to: output.file("again"), dtype: .nf4)
        let again = try ModelRegistry.load(output.file("again"), weights: .nf4)
        #expect(again.weights == .nf4 && again.quantizationErrors.isEmpty)
    }

    @Test("damaged folders and other quantisations are refused by name")
    func damaged() throws {
        let source = Locations.fixture("nf4_folders/nf4-double")
        func check(_ words: String, _ damage: (String) throws -> Void) throws {
            let folder = try TemporaryFolder()
            let copy = folder.file("model")
            try FileManager.default.copyItem(atPath: source, toPath: copy)
            try damage(copy)
            let error = #expect(throws: InputError.self) { try ModelRegistry.load(copy, weights: .nf4) }
            #expect(error.map { "\($0)".contains(words) } == true, "\(words): \(error.map { "\($0)" } ?? "")")
        }
        func editConfiguration(_ folder: String, _ old: String, _ new: String) throws {
            let file = folder + "/config.json"
            let text = try String(contentsOfFile: file, encoding: .utf8)
            #expect(text.contains(old))
            try text.replacing(old, with: new).write(toFile: file, atomically: true, encoding: .utf8)
        }
        try check("bitsandbytes in 4 bits, fp4") { try editConfiguration($0, "\"nf4\"", "\"fp4\"") }
        try check("(gptq)") { try editConfiguration($0, "\"bitsandbytes\"", "\"gptq\"") }
        try check("in 8 bits") {
            try editConfiguration($0, "\"load_in_4bit\": true,\n    \"load_in_8bit\"", "\"load_in_8bit\"")
            try editConfiguration($0, "    \"bnb_4bit_quant_type\": \"nf4\",\n", "")
        }
        let file = try SafetensorsFile(source + "/model.safetensors")
        /// Writes the file again with one tensor left out, cut or changed.
        func rewrite(_ folder: String, _ name: String, _ change: ([UInt8]) -> [UInt8]?) throws {
            var tensors: [SafetensorsTensor] = []
            for tensor in file.names {
                let entry = try file.entry(tensor)
                let bytes = Array(try file.rawBytes(tensor))
                let changed = tensor == name ? change(bytes) : bytes
                guard let changed else { continue }
                if entry.type == .u8 {
                    let shape = tensor == name ? [changed.count] : entry.shape
                    tensors.append(SafetensorsTensor(tensor, bytes: changed.count, shape: shape) { changed })
                } else {
                    let values = changed.withUnsafeBytes { Array($0.bindMemory(to: Float.self)) }
                    let shape = tensor == name ? [values.count] : entry.shape
                    tensors.append(SafetensorsTensor(tensor, .f32, shape: shape, values))
                }
            }
            try SafetensorsWriter.write(tensors, metadata: ["format": "pt"], to: folder + "/model.safetensors")
        }
        let weight = "model.layers.0.mlp.up_proj.weight"
        let state = weight + ".quant_state.bitsandbytes__nf4"
        func replace(_ old: String, _ new: String) -> ([UInt8]) -> [UInt8]? {
            { Array(String(decoding: $0, as: UTF8.self).replacing(old, with: new).utf8) }
        }
        try check("absmax") { try rewrite($0, weight + ".absmax") { _ in nil } }
        try check("bytes (U8)") { try rewrite($0, weight + ".absmax") { $0.dropLast() } }
        try check("does not have the bytes of") { try rewrite($0, weight) { $0.dropLast(5) } }
        try check("does not have the bytes of") {
            try rewrite($0, state, replace("[96, 64]", "[2147483647, 2147483647]"))
        }
        try check("numbers in F32") { try rewrite($0, weight + ".nested_absmax") { $0 + [0, 0, 0, 0] } }
        try check("is not the table") { try rewrite($0, weight + ".quant_map") { [0, 0, 0, 1] + $0.dropFirst(4) } }
        try check("is not the table") {
            try rewrite($0, weight + ".nested_quant_map") { [0, 0, 0, 1] + $0.dropFirst(4) }
        }
        try check("no JSON object") { try rewrite($0, state) { _ in [0x7b, 0xff] } }
        try check("no shape") { try rewrite($0, state, replace("[96, 64]", "[96]")) }
        try check("no shape") { try rewrite($0, state, replace("[96, 64]", "[9999999999999, 64]")) }
        try check("blocks of 64") { try rewrite($0, state, replace("\"blocksize\": 64", "\"blocksize\": 128")) }
        try check("double quantisation") {
            try rewrite($0, state, replace("\"nested_blocksize\": 256", "\"nested_blocksize\": 64"))
        }
        try check("has shape") { try rewrite($0, state, replace("[96, 64]", "[64, 96]")) }
        // Without its description the codes are a tensor of another shape, and the rest belongs to nothing.
        try check("shape") { try rewrite($0, state) { _ in nil } }
    }
}
