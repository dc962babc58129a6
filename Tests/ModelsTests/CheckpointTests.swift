import Files
import Models
import Tensors
import TestSupport
import Testing

@Suite struct CheckpointTests {
    @Test func aFolderIsOpened() throws {
        let checkpoint = try openCheckpoint(Locations.fixture("models/tiny-llama-untied") + "/")
        #expect(checkpoint.format == .huggingFace)
        #expect(checkpoint.configuration["model_type"] == "llama")
        #expect(checkpoint.generationConfiguration != nil)
        #expect(try checkpoint.shape(of: "lm_head.weight") == [384, 64])
        #expect(try checkpoint.storageType(of: "lm_head.weight") == "F16")
        var values = [Float](repeating: .nan, count: 384 * 64)
        try values.withUnsafeMutableBufferPointer { try checkpoint.readFloats("lm_head.weight", into: $0) }
        #expect(values.allSatisfy { $0.isFinite })
    }

    @Test func theHashIsOfTheWeightsAlone() throws {
        func hash(_ values: [Float], name: String = "w", shape: [Int]? = nil, shards: Int = .max) throws -> String {
            let folder = try TemporaryFolder()
            try folder.write("{}", to: "config.json")
            let tensors = [
                SafetensorsTensor("other", shape: [2], [1, 2]),
                SafetensorsTensor(name, shape: shape ?? [values.count], values),
            ]
            try SafetensorsFolder.write(tensors, to: folder.path, shardLimit: shards)
            return try openCheckpoint(folder.path).contentHash()
        }
        var values = (0..<50_000).map { Float($0) }
        let before = try hash(values)
        #expect(try hash(values) == before)
        #expect(try hash(values, shards: 100) == before)
        #expect(try hash(values, name: "v") != before)
        #expect(try hash(values, shape: [2, 25_000]) != before)
        values[49_999] += 1
        #expect(try hash(values) != before)
        values[49_999] -= 1
        values[0] += 1
        #expect(try hash(values) != before)
    }

    @Test func whatCannotBeOpenedSaysWhy() throws {
        let cases: [(files: [String], open: String, says: String)] = [
            (["config.json", "pytorch_model.bin"], "", "safe_serialization=True"),
            (["config.json", "consolidated.00.pth"], "", "safe_serialization=True"),
            (["config.json"], "", "has neither model.safetensors nor model.safetensors.index.json"),
            (["model.safetensors"], "", "has no config.json"),
            (["adapter_config.json", "adapter_model.safetensors"], "", "holds an adapter, not a model"),
            (["model-q4.gguf"], "", "/model-q4.gguf"),
            (["config.json", "model.safetensors"], "model.safetensors", "Give the folder that holds it"),
            (["pytorch_model.bin"], "pytorch_model.bin", "safe_serialization=True"),
            (["data.csv"], "data.csv", "is no model"),
            (["SmolLM2.gguf"], "SmolLM.gguf", "SmolLM2.gguf'?"),
            (["config.json", "model.safetensors"], "", "not valid JSON"),
        ]
        for (files, open, says) in cases {
            let folder = try TemporaryFolder()
            for file in files { try folder.write("x", to: file) }
            let error = #expect(throws: InputError.self) {
                try openCheckpoint(open.isEmpty ? folder.path : folder.file(open))
            }
            #expect(error?.description.contains(says) == true, "\(files): \(String(describing: error))")
        }
    }

    @Test func quantisedFoldersAreRefused() throws {
        let folder = try TemporaryFolder()
        try folder.write(#"{"quantization_config": {"quant_method": "bitsandbytes"}}"#, to: "config.json")
        try SafetensorsFolder.write([SafetensorsTensor("w", shape: [1], [1])], to: folder.path)
        let error = #expect(throws: InputError.self) { try openCheckpoint(folder.path) }
        #expect(error?.message == "holds quantised weights (bitsandbytes in 8 bits), which cannot be read")
    }

    @Test func aFileIsKnownByItsContentToo() throws {
        let folder = try TemporaryFolder()
        let path = try folder.write(GGUFBuilder.small.file, to: "sha256-0123")
        #expect(try ModelLocation(path) == .gguf(path))
    }
}
