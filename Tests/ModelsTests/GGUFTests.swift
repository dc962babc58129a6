import Files
import Models
import Tensors
import TestSupport
import Testing

@Suite struct GGUFTests {
    private func floats(_ name: String, of checkpoint: any Checkpoint) throws -> [Float] {
        let count = try checkpoint.shape(of: name).reduce(1, *)
        var values = [Float](repeating: .nan, count: count)
        try values.withUnsafeMutableBufferPointer { try checkpoint.readFloats(name, into: $0) }
        return values
    }

    @Test func everyKindOfValueIsRead() throws {
        let folder = try TemporaryFolder()
        let checkpoint = try openCheckpoint(folder.write(GGUFBuilder.small.file, to: "small.gguf"))
        #expect(checkpoint.format == .gguf)
        let expected: JSON = [
            "general.architecture": "llama", "u8": 200, "i8": -56, "u16": 60000, "i16": -2, "u32": 4_000_000_000,
            "i32": -3, "f32": 1.5, "bool": true, "list": [7, -8], "texts": ["a", "ü"], "lists": [[1, 2], [1, 2]],
            "u64": .number(0x1p63), "i64": -4, "f64": 0.1,
        ]
        #expect(checkpoint.configuration == expected)
        #expect(checkpoint.tensorNames == ["matrix", "blocks", "other"])
        #expect(try checkpoint.shape(of: "matrix") == [2, 3])
        #expect(try floats("matrix", of: checkpoint) == [1, 2, 3, 4, 5, 6])
        #expect(try floats("blocks", of: checkpoint) == (0..<32).map { Float($0) })
    }

    @Test func aTypeThatCannotBeReadIsNamed() throws {
        let folder = try TemporaryFolder()
        let checkpoint = try openCheckpoint(folder.write(GGUFBuilder.small.file, to: "small.gguf"))
        #expect(try checkpoint.storageType(of: "other") == "IQ3_XXS")
        let error = #expect(throws: InputError.self) { try floats("other", of: checkpoint) }
        #expect(error?.place == "tensor 'other'")
        #expect(error?.message == "is stored as IQ3_XXS, which cannot be read")
        #expect(throws: InputError.self) { try checkpoint.shape(of: "matrx") }
    }

    /// Values from the `gguf` package, to the bit.
    @Test(
        arguments: [
            ("F32", 0), ("F16", 1), ("BF16", 30), ("Q4_0", 2), ("Q4_1", 3), ("Q5_0", 6), ("Q5_1", 7), ("Q8_0", 8),
            ("Q2_K", 10), ("Q3_K", 11), ("Q4_K", 12), ("Q5_K", 13), ("Q6_K", 14),
        ] as [(String, UInt32)])
    func blocksDecodeAsInGGML(name: String, code: UInt32) throws {
        let golden = try SafetensorsFile(Locations.fixture("gguf/blocks.safetensors"))
        let expected = try golden.floats("\(name).values")
        var builder = GGUFBuilder()
        builder.key("general.architecture", "llama")
        builder.tensor("x", [UInt64(expected.count)], type: code, Array(try golden.rawBytes("\(name).bytes")))
        let folder = try TemporaryFolder()
        let checkpoint = try openCheckpoint(folder.write(builder.file, to: "x.gguf"))
        #expect(try checkpoint.storageType(of: "x") == name)
        #expect(try floats("x", of: checkpoint).map(\.bitPattern) == expected.map(\.bitPattern))
    }

    /// Large enough for several threads: every range must find its own blocks.
    @Test func longTensorsDecodeInParallel() throws {
        var builder = GGUFBuilder()
        builder.key("general.architecture", "llama")
        let rows = 1500
        // Row r: scale 1, all 256 numbers r mod 100.
        var blocks: [UInt8] = []
        for row in 0..<rows {
            for _ in 0..<8 { blocks += [0, 0x3C] + [UInt8](repeating: UInt8(row % 100), count: 32) }
        }
        builder.tensor("x", [256, UInt64(rows)], type: 8, blocks)
        let folder = try TemporaryFolder()
        let checkpoint = try openCheckpoint(folder.write(builder.file, to: "x.gguf"))
        #expect(try floats("x", of: checkpoint) == (0..<rows * 256).map { Float($0 / 256 % 100) })
    }

    /// The converter's output holds what the Hugging Face folder holds, the rows of q and k in another order.
    @Test func convertedRowsComeBackInOrder() throws {
        let gguf = try openCheckpoint(Locations.fixture("gguf/tiny-llama.gguf"))
        let folder = try openCheckpoint(Locations.fixture("models/tiny-llama"))
        let names = [
            ("blk.1.attn_q.weight", "self_attn.q_proj", 4), ("blk.1.attn_k.weight", "self_attn.k_proj", 2),
            ("blk.1.attn_v.weight", "self_attn.v_proj", 0), ("blk.1.ffn_down.weight", "mlp.down_proj", 0),
        ]
        for (ours, theirs, heads) in names {
            let expected = try floats("model.layers.1.\(theirs).weight", of: folder)
            var values = try floats(ours, of: gguf)
            let shape = try gguf.shape(of: ours)
            #expect(try folder.shape(of: "model.layers.1.\(theirs).weight") == shape)
            if heads > 0 {
                #expect(values != expected)
                let order = huggingFaceRowOrder(rows: shape[0], heads: heads)
                let columns = shape[1]
                #expect(order.flatMap { values[$0 * columns..<($0 + 1) * columns] } == expected)
                values.withUnsafeMutableBufferPointer { unpermuteRotaryRows($0, rows: shape[0], heads: heads) }
            }
            #expect(values == expected, "\(ours)")
        }
    }
}
