import Files
import Tensors
import TestSupport
import Testing

@Suite struct SafetensorsFolderTests {
    private let tensors = (0..<5).map { index in
        SafetensorsTensor("layer.\(index)", .f32, shape: [10], [Float](repeating: Float(index), count: 10))
    }

    @Test func aSmallModelIsOneFile() throws {
        let folder = try TemporaryFolder()
        try SafetensorsFolder.write(tensors, to: folder.path)
        let model = try SafetensorsFolder(folder.path)
        #expect(model.names == tensors.map(\.name))
        #expect(model.shards.count == 1)
        #expect(model.shards[0].metadata == ["format": "pt"])
    }

    @Test func aLargeModelIsSplitAndIndexed() throws {
        let folder = try TemporaryFolder()
        try SafetensorsFolder.write(tensors, to: folder.path)
        try SafetensorsFolder.write(tensors, to: folder.path, shardLimit: 100)
        let model = try SafetensorsFolder(folder.path)
        #expect(model.shards.count == 3)
        #expect(model.names == tensors.map(\.name))
        #expect(try model.shard(of: "layer.4").floats("layer.4") == [Float](repeating: 4, count: 10))
        let index = try JSON(contentsOf: folder.file("model.safetensors.index.json"))
        #expect(index["metadata"]?["total_size"] == 200)
        #expect(index["weight_map"]?["layer.2"] == "model-00002-of-00003.safetensors")
        // And back: the earlier form must not stay beside the new one.
        try SafetensorsFolder.write(Array(tensors.prefix(2)), to: folder.path)
        #expect(try SafetensorsFolder(folder.path).names == ["layer.0", "layer.1"])
        #expect(throws: InputError.self) { try JSON(contentsOf: folder.file("model.safetensors.index.json")) }
    }

    @Test func shardsWrittenByTransformersAreRead() throws {
        let model = try SafetensorsFolder(Locations.fixture("models/tiny-llama-untied"))
        #expect(model.shards.count == 3)
        #expect(try model.shard(of: "lm_head.weight").entry("lm_head.weight").shape == [384, 64])
    }

    @Test func filesAndIndexMustAgree() throws {
        let one = "model-00001-of-00002.safetensors"
        let two = "model-00002-of-00002.safetensors"
        let cases: [(map: String, message: String)] = [
            (#"{"a": "\#(one)", "b": "\#(two)", "c": "\#(two)"}"#, "is not in \(two), where the index places it"),
            (#"{"a": "\#(one)"}"#, ""),
            (#"{"a": "\#(one)", "z": "\#(two)"}"#, "is here, but model.safetensors.index.json does not name it"),
            (#"{"a": "\#(two)", "b": "\#(one)"}"#, "is here, but model.safetensors.index.json places it in \(two)"),
            (
                #"{"a": "\#(one)", "b": "model-00003.safetensors"}"#,
                "the file 'model-00003.safetensors' that the index names is missing"
            ),
            (#"{"a": "../\#(one)"}"#, "'../\(one)' is no file name"),
            (#"{"a": 1}"#, "is not a file name"),
            ("{}", "has no weight_map"),
        ]
        for (map, message) in cases {
            let folder = try TemporaryFolder()
            try SafetensorsWriter.write([SafetensorsTensor("a", shape: [1], [1])], to: folder.file(one))
            try SafetensorsWriter.write([SafetensorsTensor("b", shape: [1], [1])], to: folder.file(two))
            try folder.write(#"{"weight_map": \#(map)}"#, to: "model.safetensors.index.json")
            if message.isEmpty {
                // A file that the index does not name is no part of the model.
                #expect(try SafetensorsFolder(folder.path).names == ["a"])
            } else {
                let error = #expect(throws: InputError.self) { try SafetensorsFolder(folder.path) }
                #expect(error?.message == message)
            }
        }
    }
}
