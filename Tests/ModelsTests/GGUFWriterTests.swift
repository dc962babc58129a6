import Files
import Foundation
import Models
import Tensors
import TestSupport
import Testing
import Tokenizers

/// GGUF files written by this program, against files that the `gguf` package wrote of the same models, and read by it again.
@Suite("Writing GGUF files") struct GGUFWriterTests {
    static let tokens: [Int32] = [5, 17, 300, 42, 42, 7, 199, 8]

    private func export(
        _ name: String, _ storage: GGUFStorage, in folder: TemporaryFolder
    ) throws -> (source: LoadedModel, file: String) {
        let source = try ModelRegistry.load(Locations.fixture(name))
        let file = folder.file("out.gguf")
        try writeGGUF(source, tokenizer: source.checkpoint.tokenizer(), to: file, storage: storage, name: "tiny-llama")
        return (source, file)
    }

    @Test(
        "the same bits come back, from folders and GGUF files",
        arguments: [
            "models/tiny-llama", "models/tiny-llama-untied", "models/tiny-qwen2", "models/tiny-llama3-rope",
            "models/tiny-linear-rope", "gguf/tiny-llama.gguf", "gguf/tiny-qwen2.gguf", "gguf/tiny-yarn.gguf",
        ])
    func reload(name: String) throws {
        let folder = try TemporaryFolder()
        let (source, file) = try export(name, .f32, in: folder)
        let again = try ModelRegistry.load(file)
        #expect(
            logProbabilities(again.model, Self.tokens).map(\.bitPattern)
                == logProbabilities(source.model, Self.tokens).map(\.bitPattern))
        let (before, after) = (try source.checkpoint.tokenizer(), try again.checkpoint.tokenizer())
        let text = "<|im_start|>user\nHow  many — 1234567?<|im_end|>\n\n\tGrüße 漢字"
        #expect(try after.encode(text, addSpecialTokens: true) == before.encode(text, addSpecialTokens: true))
        #expect(after.chatTemplate == before.chatTemplate && after.chatTemplate != nil)
        #expect((after.bosToken, after.eosToken, after.padToken) == (before.bosToken, before.eosToken, before.padToken))
    }

    @Test("YaRN's attention factor comes back to rounding")
    func yarn() throws {
        let folder = try TemporaryFolder()
        let (source, file) = try export("models/tiny-yarn", .f32, in: folder)
        let (old, new) = (
            logProbabilities(source.model, Self.tokens),
            logProbabilities(try ModelRegistry.load(file).model, Self.tokens)
        )
        #expect(zip(old, new).allSatisfy { abs($0 - $1) < 1e-5 })
    }

    /// Names, shapes, types and bytes, permuted rows among them.
    @Test(
        "tensors are those that the gguf package writes",
        arguments: [
            ("models/tiny-llama", GGUFStorage.f32, "gguf/tiny-llama.gguf"),
            ("models/tiny-llama-untied", .f16, "gguf/tiny-llama-untied.gguf"),
            ("models/tiny-qwen2", .bf16, "gguf/tiny-qwen2.gguf"),
            ("models/tiny-llama", .q8_0, "gguf/tiny-llama-q8_0.gguf"),
        ])
    func tensors(name: String, storage: GGUFStorage, golden: String) throws {
        let folder = try TemporaryFolder()
        let written = try openCheckpoint(export(name, storage, in: folder).file)
        let expected = try openCheckpoint(Locations.fixture(golden))
        #expect(Set(written.tensorNames) == Set(expected.tensorNames))
        for tensor in expected.tensorNames {
            #expect(try written.shape(of: tensor) == expected.shape(of: tensor), "\(tensor)")
            #expect(try written.storageType(of: tensor) == expected.storageType(of: tensor), "\(tensor)")
            #expect(try written.rawBytes(tensor).elementsEqual(expected.rawBytes(tensor)), "\(tensor)")
        }
        // What the golden file says of the model and its tokenizer is said here too, but for a token that the folder does not name.
        let unnamed: Set<String> = ["general.name", "general.quantization_version", "tokenizer.ggml.unknown_token_id"]
        let found = written.configuration
        for (key, value) in expected.configuration.object ?? [:] where !unnamed.contains(key) {
            #expect(found[key] == value, "\(key)")
        }
    }

    @Test("blocks are those that the gguf package makes", arguments: [GGUFStorage.q8_0, .q4_0, .q4_1, .q5_0, .q5_1])
    func blocks(storage: GGUFStorage) throws {
        let golden = try SafetensorsFile(Locations.fixture("gguf/encoded.safetensors"))
        let values = Tensor(try golden.floats("values"), shape: [64, 96])
        let folder = try TemporaryFolder()
        let written = try openCheckpoint(export(storage, withDown: values, in: folder))
        let name = "blk.0.ffn_down.weight"
        #expect(try written.storageType(of: name) == storage.rawValue.uppercased())
        #expect(try written.rawBytes(name).elementsEqual(golden.rawBytes("\(storage.rawValue).bytes")))
    }

    @Test("rows that are no whole blocks become f16")
    func oddRows() throws {
        let folder = try TemporaryFolder()
        let source = Locations.fixture("models/tiny-llama")
        let weights = try SafetensorsFile(source + "/model.safetensors")
        let cropped = try weights.names.map { name in
            var (shape, values) = (try weights.entry(name).shape, try weights.floats(name))
            // An MLP of 40 channels instead of 96.
            if name.contains("gate_proj") || name.contains("up_proj") { shape[0] = 40 }
            if name.contains("down_proj") {
                values = (0..<64).flatMap { row in values[row * 96..<row * 96 + 40] }
                shape[1] = 40
            }
            return SafetensorsTensor(name, shape: shape, Array(values.prefix(shape.reduce(1, *))))
        }
        try SafetensorsWriter.write(cropped, to: folder.file("model.safetensors"))
        let configuration = try String(contentsOfFile: source + "/config.json", encoding: .utf8)
        try folder.write(
            configuration.replacing("\"intermediate_size\": 96", with: "\"intermediate_size\": 40"), to: "config.json")
        let loaded = try ModelRegistry.load(folder.path)
        let tokenizer = try openCheckpoint(source).tokenizer()
        try writeGGUF(loaded, tokenizer: tokenizer, to: folder.file("odd.gguf"), storage: .q4_0, name: "odd")
        let written = try openCheckpoint(folder.file("odd.gguf"))
        #expect(try written.storageType(of: "blk.0.ffn_down.weight") == "F16")
        #expect(try written.storageType(of: "blk.0.ffn_up.weight") == "Q4_0")
        _ = try ModelRegistry.load(folder.file("odd.gguf"))
    }

    /// Writes a tiny model with a matrix of the test's own in the place of one of its.
    private func export(_ storage: GGUFStorage, withDown values: Tensor, in folder: TemporaryFolder) throws -> String {
        let source = try ModelRegistry.load(Locations.fixture("models/tiny-llama"))
        let path = "model.layers.0.mlp.down_proj.weight"
        try #require(source.model.parameters().first { $0.path == path }).parameter.value = values
        let file = folder.file("out.gguf")
        try writeGGUF(source, tokenizer: source.checkpoint.tokenizer(), to: file, storage: storage, name: "tiny")
        return file
    }

    @Test("a number that 16 bits cannot hold is refused, and nothing is written")
    func overflow() throws {
        let folder = try TemporaryFolder()
        let source = try ModelRegistry.load(Locations.fixture("models/tiny-llama"))
        let parameter = try #require(source.model.parameters().first { $0.path.hasSuffix("up_proj.weight") }).parameter
        parameter.value.withMutableFloats { $0[3] = 70000 }
        for storage in [GGUFStorage.f16, .q8_0, .q4_0, .q4_1] {
            let error = #expect(throws: InputError.self) {
                try writeGGUF(
                    source, tokenizer: source.checkpoint.tokenizer(), to: folder.file("x.gguf"), storage: storage,
                    name: "x")
            }
            #expect(error?.message.contains("holds 70000.0, which \(storage) cannot") == true)
        }
        #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path).isEmpty)
    }
}
