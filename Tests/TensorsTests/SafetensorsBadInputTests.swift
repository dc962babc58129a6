import Files
import Tensors
import TestSupport
import Testing

/// Files that are no valid safetensors: each an error with the file named, never a trap.
@Suite struct SafetensorsBadInputTests {
    /// A tensor's entry in a header.
    private static func entry(_ type: String, _ shape: String, _ offsets: String) -> String {
        #"{"dtype":"\#(type)","shape":\#(shape),"data_offsets":\#(offsets)}"#
    }

    private static func header(_ type: String, _ shape: String, _ offsets: String) -> String {
        #"{"a":"# + entry(type, shape, offsets) + "}"
    }

    private static let good = entry("U8", "[8]", "[0,8]")
    private static let deep = String(repeating: "[", count: 5000) + String(repeating: "]", count: 5000)

    /// Header (data of eight bytes follows), and a part of the error that must come.
    static let broken: [(header: String, says: String)] = [
        ("", "does not start with {"),
        ("[]", "does not start with {"),
        (#"{"a":"#, "not valid JSON"),
        (#"{} {}"#, "not valid JSON"),
        ("{}", "8 bytes at the end belong to no tensor"),
        (#"{"a":1}"#, "tensor 'a': has no dtype"),
        (#"{"a":{"shape":[2],"data_offsets":[0,8]}}"#, "tensor 'a': has no dtype"),
        (header("F31", "[2]", "[0,8]"), "unknown dtype 'F31'"),
        (#"{"a":{"dtype":"F32","data_offsets":[0,8]}}"#, "shape is not a list of sizes"),
        (header("F32", "[-2]", "[0,8]"), "shape is not a list of sizes"),
        (header("F32", "[2.0]", "[0,8]"), "shape is not a list of sizes"),
        (#"{"a":{"dtype":"F32","shape":[2]}}"#, "data_offsets are not two offsets"),
        (header("F32", "[2]", "[0,8,8]"), "data_offsets are not two offsets"),
        (header("F32", "[2]", "[-8,0]"), "data_offsets are not two offsets"),
        (header("F32", "[2]", "[8,0]"), "ends before it begins"),
        (header("F32", "[2]", "[0,9223372036854775807]"), "ends before it begins, or beyond"),
        (header("F32", "[2]", "[0,99999999999999999999999]"), "ends before it begins, or beyond"),
        (header("F32", "[3]", "[0,8]"), "not the size of F32 [3]"),
        (header("F32", "[4611686018427387904,4]", "[0,8]"), "not the size of F32"),
        (header("F4", "[3]", "[0,1]"), "not the size of F4"),
        (header("F32", "[3]", "[0,12]"), "reaches to byte"),
        (
            "{\"a\":\(entry("U8", "[5]", "[0,5]")),\"b\":\(entry("U8", "[4]", "[4,8]"))}",
            "tensor 'b': its data overlaps"
        ),
        (
            "{\"a\":\(entry("U8", "[3]", "[0,3]")),\"b\":\(entry("U8", "[4]", "[4,8]"))}",
            "tensor 'b': its data leaves a gap"
        ),
        ("{\"b\":\(entry("U8", "[4]", "[4,8]"))}", "tensor 'b': its data leaves a gap"),
        ("{\"a\":\(good),\"a\":\(entry("F32", "[2]", "[0,8]"))}", "names something twice"),
        (#"{"a":{"dtype":"U8","dtype":"I8","shape":[8],"data_offsets":[0,8]}}"#, "names something twice"),
        ("{\"__metadata__\":{\"k\":1},\"a\":\(good)}", "__metadata__: a value is not a string"),
        ("{\"__metadata__\":[],\"a\":\(good)}", "__metadata__: is not an object"),
        ("{\"a\":\(deep)}", "nest more than 256 deep"),
    ]

    @Test(arguments: broken)
    func aBrokenHeaderIsAnError(header: String, says: String) throws {
        let folder = try TemporaryFolder()
        let path = try folder.write(safetensorsBytes(header, [UInt8](repeating: 1, count: 8)), to: "m.safetensors")
        let error = #expect(throws: InputError.self) { try SafetensorsFile(path) }
        #expect(error?.file == path)
        #expect(error?.description.contains(says) == true, "\(String(describing: error))")
    }

    @Test func namesThatLookOddAreFine() throws {
        let folder = try TemporaryFolder()
        let empty = Self.entry("F4", "[0,9999999999999]", "[8,8]")
        let header = #"{"a:{\"b\\":"# + Self.good + #","":"# + empty + "}"
        let path = try folder.write(safetensorsBytes(header, [UInt8](repeating: 1, count: 8)), to: "m.safetensors")
        #expect(try SafetensorsFile(path).names == [#"a:{"b\"#, ""])
    }

    @Test func wrongKindsOfFile() throws {
        let folder = try TemporaryFolder()
        let cases: [(bytes: [UInt8], says: String)] = [
            ([], "has only 0 bytes"),
            ([1, 2, 3], "has only 3 bytes"),
            ([UInt8](repeating: 0xFF, count: 64), "is no safetensors file: its header would have 18446744073709551615"),
            ([16, 0, 0, 0, 0, 0, 0, 0, 0x7B], "ends inside the header"),
            (Array("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n".utf8), "git lfs pull"),
        ]
        for (bytes, says) in cases {
            let path = try folder.write(bytes, to: "m")
            let error = #expect(throws: InputError.self) { try SafetensorsFile(path) }
            #expect(error?.description.contains(says) == true, "\(String(describing: error))")
        }
        #expect(throws: InputError.self) { try SafetensorsFile(folder.path) }
        #expect(throws: InputError.self) { try SafetensorsFile(folder.file("missing")) }
    }

    private func smallFile(_ folder: TemporaryFolder) throws -> [UInt8] {
        let path = folder.file("small")
        try SafetensorsWriter.write(
            [
                SafetensorsTensor("a", .f32, shape: [2, 2], [1, 2, 3, 4]),
                SafetensorsTensor("b", .bf16, shape: [3], [5, 6, 7]),
                SafetensorsTensor("none", .f32, shape: [0], []),
            ], metadata: ["format": "pt"], to: path)
        return try MappedFile(path).withBytes { Array($0) }
    }

    @Test func everyTruncationIsAnError() throws {
        let folder = try TemporaryFolder()
        let whole = try smallFile(folder)
        for count in 0..<whole.count {
            let path = try folder.write(Array(whole[..<count]), to: "cut-\(count)")
            #expect(throws: InputError.self, "\(count) bytes") { try SafetensorsFile(path) }
        }
    }

    @Test func randomDamageNeverTraps() throws {
        let folder = try TemporaryFolder()
        let whole = try smallFile(folder)
        var random = SplitMix(state: 7)
        var rejected = 0
        // A name for each: some file systems write to the disk at once when a file is overwritten.
        for round in 0..<3000 {
            var bytes = whole
            for _ in 0...Int(random.next() % 3) {
                bytes[Int(random.next() % 200) % bytes.count] = UInt8(truncatingIfNeeded: random.next())
            }
            let path = try folder.write(bytes, to: "damaged-\(round)")
            do {
                let file = try SafetensorsFile(path)
                for name in file.names { _ = try? file.floats(name) }
            } catch is InputError { rejected += 1 }
        }
        // Damage to a name or to the data goes unseen; damage to the structure does not.
        #expect(rejected > 1500)
    }
}

/// A small random generator with a fixed seed (Steele, Lea, Flood 2014).
struct SplitMix: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }
}
