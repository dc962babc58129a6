import Files
import Models
import Tensors
import TestSupport
import Testing

/// GGUF's K types as they are written here, beside llama.cpp's own quantiser: `Tests/Fixtures/llama_cpp`.
@Suite("Writing GGUF's K types") struct GGUFWriterKTests {
    /// Writes the tiny model with an MLP of 256 channels, the last matrix of which is given, `[64, 256]`.
    private func export(_ storage: GGUFStorage, _ values: [Float], in folder: TemporaryFolder) throws -> any Checkpoint
    {
        let source = Locations.fixture("models/tiny-llama")
        let weights = try SafetensorsFile(source + "/model.safetensors")
        let grown = try weights.names.map { name in
            var shape = try weights.entry(name).shape
            guard name.contains(".mlp.") else { return SafetensorsTensor(name, shape: shape, try weights.floats(name)) }
            guard name != "model.layers.0.mlp.down_proj.weight" else {
                return SafetensorsTensor(name, shape: [64, 256], values)
            }
            shape[name.contains("down_proj") ? 1 : 0] = 256
            return SafetensorsTensor(name, shape: shape, (0..<64 * 256).map { Float($0 % 17) / 100 - 0.08 })
        }
        try SafetensorsWriter.write(grown, to: folder.file("model.safetensors"))
        let configuration = try String(decoding: ByteSource(source + "/config.json").readAll(), as: UTF8.self)
        try folder.write(
            configuration.replacing("\"intermediate_size\": 96", with: "\"intermediate_size\": 256"), to: "config.json")
        let tokenizer = try openCheckpoint(source).tokenizer()
        let file = folder.file("\(storage).gguf")
        try writeGGUF(ModelRegistry.load(folder.path), tokenizer: tokenizer, to: file, storage: storage, name: "k")
        return try openCheckpoint(file)
    }

    private func rms(_ a: ArraySlice<Float>, _ b: ArraySlice<Float>) -> Double {
        (zip(a, b).reduce(0) { $0 + Double($1.0 - $1.1) * Double($1.0 - $1.1) } / Double(a.count)).squareRoot()
    }

    @Test(
        "the error is below llama.cpp's, and of no row much above, on real and on hard rows",
        arguments: [(GGUFStorage.q4_k, 144), (.q6_k, 210)])
    func error(storage: GGUFStorage, blockBytes: Int) throws {
        let golden = try SafetensorsFile(Locations.fixture("llama_cpp/blocks.safetensors"))
        let values = try golden.floats("values")
        let theirBytes = try golden.rawBytes("\(storage.rawValue).bytes")
        #expect(theirBytes.count == 64 * blockBytes)
        let folder = try TemporaryFolder()
        let file = try export(storage, values, in: folder)
        let name = "blk.0.ffn_down.weight"
        #expect(try file.storageType(of: name) == storage.rawValue.uppercased())
        let ours = try floats(name, of: file)
        // Their blocks in the place of ours, read by the same decoder.
        var bytes = try ByteSource(folder.file("\(storage).gguf")).readAll()
        let own = Array(try file.rawBytes(name))
        let place = try #require(bytes.firstRange(of: own)).lowerBound
        bytes.replaceSubrange(place..<place + own.count, with: theirBytes)
        let theirs = try floats(name, of: openCheckpoint(folder.write(bytes, to: "theirs.gguf")))
        for row in 0..<64 {
            let range = 256 * row..<256 * (row + 1)
            let (our, their) = (rms(ours[range], values[range]), rms(theirs[range], values[range]))
            #expect(our <= 1.03 * their + 1e-12, "row \(row): \(our) beside \(their)")
        }
        for rows in [0..<32, 32..<41, 42..<64] {  // Without the row that is 200,000 times as large.
            let range = 256 * rows.lowerBound..<256 * rows.upperBound
            #expect(rms(ours[range], values[range]) <= rms(theirs[range], values[range]), "rows \(rows)")
        }
        #expect(ours.allSatisfy { $0.isFinite })
    }

    @Test("rows that are no whole blocks of 256 get blocks of 32, and the head six bits")
    func fallback() throws {
        let folder = try TemporaryFolder()
        let values = (0..<64 * 256).map { Float($0 % 31) / 100 }
        let four = try export(.q4_k, values, in: folder)
        #expect(try four.storageType(of: "blk.1.ffn_down.weight") == "Q4_K")
        #expect(try four.storageType(of: "blk.1.ffn_up.weight") == "Q5_0")
        #expect(try four.storageType(of: "blk.1.attn_norm.weight") == "F32")
        #expect(try four.storageType(of: "token_embd.weight") == "Q8_0")
        let six = try export(.q6_k, values, in: folder)
        #expect(try six.storageType(of: "blk.1.ffn_down.weight") == "Q6_K")
        #expect(try six.storageType(of: "blk.1.ffn_up.weight") == "Q8_0")
        // llama.cpp gives the head of every such file six bits, or eight where rows are no blocks of 256.
        for storage in [GGUFStorage.q4_0, .q4_1, .q5_0, .q5_1] {
            let file = try export(storage, values, in: TemporaryFolder())
            #expect(try file.storageType(of: "token_embd.weight") == "Q8_0")
            #expect(try file.storageType(of: "blk.1.ffn_up.weight") == storage.rawValue.uppercased())
        }
    }

    private func floats(_ name: String, of checkpoint: any Checkpoint) throws -> [Float] {
        try Tensor(shape: checkpoint.shape(of: name)) { try checkpoint.readFloats(name, into: $0) }.values
    }
}
