import Files
import Foundation
import Tensors
import TestSupport
import Testing

@Suite struct SafetensorsTests {
    @Test(arguments: [SafetensorsType.f32, .f16, .bf16])
    func writtenValuesComeBack(type: SafetensorsType) throws {
        let folder = try TemporaryFolder()
        // Exact in all three types.
        let values: [Float] = [0, -0.0, 1, -1.5, 256, -0.0078125]
        try SafetensorsWriter.write(
            [
                SafetensorsTensor("a.weight", type, shape: [2, 3], values),
                SafetensorsTensor("empty", type, shape: [0, 7], []),
            ],
            metadata: ["format": "pt", "note": "ü \"quoted\""], to: folder.file("m.safetensors"))
        let file = try SafetensorsFile(folder.file("m.safetensors"))
        #expect(Set(file.names) == ["a.weight", "empty"])
        #expect(file.metadata == ["format": "pt", "note": "ü \"quoted\""])
        #expect(try file.entry("a.weight").shape == [2, 3])
        #expect(try file.floats("a.weight").map(\.bitPattern) == values.map(\.bitPattern))
        #expect(try file.floats("empty") == [])
        #expect(try file.rawBytes("a.weight").count == 6 * type.bits / 8)
        #expect(try file.entry("a.weight").bytes.lowerBound % 8 == 0)
    }

    @Test func valuesMayComeInPieces() throws {
        let folder = try TemporaryFolder()
        let count = 300_000
        func value(_ i: Int) -> Float { Float(i % 251) - 100 }
        let tensor = SafetensorsTensor("x", .bf16, shape: [count / 100, 100]) { sink in
            for start in stride(from: 0, to: count, by: 70_001) {
                try (start..<min(start + 70_001, count)).map(value).withUnsafeBufferPointer(sink)
            }
        }
        try SafetensorsWriter.write([tensor], to: folder.file("x.safetensors"))
        #expect(try SafetensorsFile(folder.file("x.safetensors")).floats("x") == (0..<count).map(value))
    }

    @Test func widerTypesComeFirst() throws {
        let folder = try TemporaryFolder()
        try SafetensorsWriter.write(
            [
                SafetensorsTensor("b", .bf16, shape: [1], [1]), SafetensorsTensor("a", .f32, shape: [1], [2]),
                SafetensorsTensor("c", .f16, shape: [1], [3]),
            ], to: folder.file("m"))
        #expect(try SafetensorsFile(folder.file("m")).names == ["a", "b", "c"])
    }

    @Test func aValueBeyondF16IsAnError() throws {
        let folder = try TemporaryFolder()
        try folder.write("old", to: "m")
        let error = #expect(throws: InputError.self) {
            try SafetensorsWriter.write([SafetensorsTensor("big", .f16, shape: [2], [1, 70000])], to: folder.file("m"))
        }
        #expect(error?.message == "tensor 'big' holds 70000.0, which F16 cannot (its largest is 65504)")
        #expect(try folder.read("m") == "old")
    }

    @Test func aMissingTensorNamesTheNearest() throws {
        let file = try SafetensorsFile(Locations.fixture("models/tiny-llama/model.safetensors"))
        let error = #expect(throws: InputError.self) { try file.floats("model.norm.weights") }
        #expect(error?.hint == "The nearest is 'model.norm.weight'")
        #expect(error?.file == file.path)
    }

    @Test func typesWithoutFloatsAreReadAsBytesOnly() throws {
        let folder = try TemporaryFolder()
        let path = try folder.write(
            safetensorsBytes(#"{"n":{"dtype":"I64","shape":[1],"data_offsets":[0,8]}}"#, [1, 0, 0, 0, 0, 0, 0, 0]),
            to: "m")
        let file = try SafetensorsFile(path)
        #expect(try file.rawBytes("n").first == 1)
        let error = #expect(throws: InputError.self) { try file.floats("n") }
        #expect(error?.place == "tensor 'n'")
    }

    @Test func doublesAreRounded() throws {
        let folder = try TemporaryFolder()
        let data = [Double.pi, -1e300, 1e-300].flatMap { withUnsafeBytes(of: $0.bitPattern.littleEndian, Array.init) }
        let path = try folder.write(
            safetensorsBytes(#"{"d":{"dtype":"F64","shape":[3],"data_offsets":[0,24]}}"#, data), to: "m")
        #expect(try SafetensorsFile(path).floats("d") == [Float(Double.pi), -.infinity, 0])
    }
}

/// The bytes of a safetensors file with this header and data.
func safetensorsBytes(_ header: String, _ data: [UInt8] = []) -> [UInt8] {
    withUnsafeBytes(of: UInt64(header.utf8.count).littleEndian, Array.init) + Array(header.utf8) + data
}
