import Files
import Models
import TestSupport
import Testing

/// Files that are no valid GGUF: each an error with the file named, never a trap, and never memory on the word of a header.
@Suite struct GGUFBadInputTests {
    struct Case: Sendable, CustomTestStringConvertible {
        let says: String
        let change: @Sendable (inout GGUFBuilder) -> Void
        var testDescription: String { says }

        init(_ says: String, _ change: @escaping @Sendable (inout GGUFBuilder) -> Void) {
            self.says = says
            self.change = change
        }
    }

    private static func bytes<Number: FixedWidthInteger>(_ number: Number) -> [UInt8] { GGUFBuilder.bytes(number) }

    static let headers: [Case] = [
        Case("does not start with GGUF") { $0.magic = Array("GGML".utf8) },
        Case("has GGUF version 1") { $0.version = 1 },
        Case("has GGUF version 4") { $0.version = 4 },
        Case("big-endian") { $0.version = UInt32(3).byteSwapped },
        Case("claims 1152921504606846976 tensors") { $0.tensorCount = 1 << 60 },
        Case("and 18446744073709551615 keys") { $0.keyCount = .max },
        Case("key 'u8': is there twice") { $0.key("u8", 1) },
        Case("key 'k': unknown value type 13") { $0.key("k", 13, []) },
        Case("key 'k': a boolean is 2") { $0.key("k", 7, [2]) },
        Case("key 'k': the string at byte") { $0.key("k", 8, bytes(UInt64(1)) + [0xFF]) },
        Case("key 'k': the file ends inside") { $0.key("k", 8, bytes(UInt64.max)) },
        Case("key 'k': the file ends inside") { $0.key("k", 9, bytes(UInt32(10)) + bytes(UInt64(1) << 62)) },
        Case("key 'k': an array of 4611686018427387904 elements") {
            $0.key("k", 9, bytes(UInt32(8)) + bytes(UInt64(1) << 62))
        },
        Case("key 'k': arrays nest more than 4 deep") {
            let one = bytes(UInt32(9)) + bytes(UInt64(1))
            $0.key("k", 9, Array(repeatElement(one, count: 40).joined()))
        },
        Case("key 'general.alignment': is not a power of two") { $0.key("general.alignment", 0) },
        Case("key 'general.alignment': is not a power of two") { $0.key("general.alignment", 48) },
        Case("key 'general.alignment': is not a power of two") { $0.key("general.alignment", "32") },
        Case("llama-gguf-split --merge") { $0.key("split.count", 3) },
        Case("does not say its architecture") { $0.keys.removeFirst() },
        Case("does not say its architecture") {
            $0.keys[0] = GGUFBuilder.bytes("general.architecture") + [7, 0, 0, 0, 1]
        },
    ]

    static let tensors: [Case] = [
        Case("tensor 'x': has 5 dimensions") { $0.tensor("x", [1, 1, 1, 1, 1], [0, 0, 0, 0]) },
        Case("tensor 'x': has impossible dimensions") { $0.tensor("x", [1 << 62, 4], []) },
        Case("tensor 'x': has impossible dimensions") { $0.tensor("x", [.max], []) },
        Case("tensor 'x': has impossible dimensions") { $0.tensor("x", [1 << 61, 2], []) },
        Case("tensor 'x': has an unknown type: code 99") { $0.tensor("x", [1], type: 99, [0]) },
        Case("tensor 'x': has rows of 33, which Q8_0") {
            $0.tensor("x", [33], type: 8, [UInt8](repeating: 0, count: 68))
        },
        Case("tensor 'x': its data begins at 3") { $0.tensor("x", [1], bytes(UInt32(0)), offset: 3) },
        Case("tensor 'x': its data begins at 18446744073709551584") {
            $0.tensor("x", [1], bytes(UInt32(0)), offset: 0 &- 32)
        },
        Case("tensor 'x': its 4 bytes at 9223372036854775776 reach beyond") {
            $0.tensor("x", [1], bytes(UInt32(0)), offset: UInt64(Int.max) / 32 * 32)
        },
        Case("tensor 'x': its 4000 bytes at 224 reach beyond") { $0.tensor("x", [1000], []) },
        Case("tensor 'matrix': is there twice") { $0.tensor("matrix", [1], bytes(UInt32(0))) },
        Case("its data overlaps") { $0.tensor("x", [9], [UInt8](repeating: 0, count: 36), offset: 0) },
    ]

    @Test(arguments: headers + tensors)
    func aBrokenFileIsAnError(example: Case) throws {
        let folder = try TemporaryFolder()
        var builder = GGUFBuilder.small
        example.change(&builder)
        let path = try folder.write(builder.file, to: "m.gguf")
        let error = #expect(throws: InputError.self) { try openCheckpoint(path) }
        #expect(error?.file == path)
        #expect(error?.description.contains(example.says) == true, "\(String(describing: error))")
    }

    @Test func everyTruncationIsAnError() throws {
        let folder = try TemporaryFolder()
        var builder = GGUFBuilder.small
        // The last tensor fills its place: the padding behind a shorter one may go unmissed.
        builder.tensors.removeLast()
        builder.tensor("last", [8], GGUFBuilder.bytes([1, 2, 3, 4, 5, 6, 7, 8]))
        let whole = builder.file
        _ = try openCheckpoint(folder.write(whole, to: "cut.gguf"))
        for count in 0..<whole.count {
            let path = try folder.write(Array(whole[..<count]), to: "cut-\(count).gguf")
            #expect(throws: InputError.self, "\(count) bytes") { try openCheckpoint(path) }
        }
    }

    @Test func randomDamageNeverTraps() throws {
        let folder = try TemporaryFolder()
        let whole = GGUFBuilder.small.file
        var state: UInt64 = 11
        func random() -> Int {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return Int(state >> 33)
        }
        var rejected = 0
        // A name for each: some file systems write to the disk at once when a file is overwritten.
        for round in 0..<2500 {
            var bytes = whole
            for _ in 0...random() % 3 { bytes[random() % bytes.count] = UInt8(random() % 256) }
            let path = try folder.write(bytes, to: "damaged-\(round).gguf")
            do {
                let checkpoint = try openCheckpoint(path)
                _ = try checkpoint.contentHash()
                for name in checkpoint.tensorNames {
                    var values = [Float](repeating: 0, count: try checkpoint.shape(of: name).reduce(1, *))
                    try? values.withUnsafeMutableBufferPointer { try checkpoint.readFloats(name, into: $0) }
                }
            } catch is InputError { rejected += 1 }
        }
        // Damage to a number or a name goes unseen; damage to the structure does not.
        #expect(rejected > 600)
    }
}
