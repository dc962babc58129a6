import Foundation
import Tensors
import TestSupport
import Testing

@Suite("Quantised storage") struct QuantizationTests {
    static let types: [DType] = [.int8, .nf4, .nf4DoubleQuant]

    /// The cases of the fixture, of which `large` is kept without the numbers that come back.
    static let cases = ["normal", "bf16", "straddling", "large", "odd", "one", "tiny", "equal", "ties", "ramp"]

    @Test("NF4 is bitsandbytes' to the bit: codes, scales, double quantisation, and what comes back", arguments: cases)
    func bitsAndBytes(_ name: String) throws {
        let file = try SafetensorsFile(Locations.fixture("quantization/nf4.safetensors"))
        func floats(_ part: String) throws -> [UInt32] { try file.floats("\(name).\(part)").map(\.bitPattern) }
        func bytes(_ part: String) throws -> [UInt8] { Array(try file.rawBytes("\(name).\(part)")) }
        let shape = try file.entry("\(name).weight").shape
        let weight = Tensor(try file.floats("\(name).weight"), shape: shape)

        let plain = weight.converted(to: .nf4)
        #expect(try plain.quantizedParts.codes == bytes("codes"))
        #expect(try plain.quantizedParts.scales.map(\.bitPattern) == floats("absmax"))

        // The mean of the absmax is torch's, which depends on the width of a register.
        let lanes = Device.cpu.path == "avx512" ? 16 : 8
        let double = weight.converted(to: .nf4DoubleQuant)
        let parts = double.quantizedParts
        #expect(try parts.codes == bytes("codes"))
        #expect(try parts.nestedCodes == bytes("nested.\(lanes).codes"))
        #expect(try parts.nestedScales.map(\.bitPattern) == floats("nested.\(lanes).scales"))
        #expect(try [parts.offset.bitPattern] == floats("nested.\(lanes).offset"))

        guard name != "large" else { return }
        #expect(try plain.values.map(\.bitPattern) == floats("values"))
        if lanes == 8 { #expect(try double.values.map(\.bitPattern) == floats("nested.values")) }
    }

    @Test("the offset of many blocks is torch's mean to the bit", arguments: [600, 9000, 30000, 70000])
    func manyBlocks(_ count: Int) throws {
        let file = try SafetensorsFile(Locations.fixture("quantization/nf4.safetensors"))
        let absmax = (0..<count).map { Float($0 * 7919 % 10007 + 1) / 10007 }
        let weight = Tensor(absmax.flatMap { Array(repeating: $0, count: 64) }, shape: [count, 64])
        let offset = weight.converted(to: .nf4DoubleQuant).quantizedParts.offset
        #expect(try [offset] == file.floats("long.\(count).\(Device.cpu.path == "avx512" ? 16 : 8)"))
    }

    @Test("the plain loops quantise and unpack alike", arguments: types)
    func reference(_ type: DType) {
        let values = OpCase.numbers(37 * 53, seed: 3)
        let fast = Tensor(values, shape: [37, 53]).converted(to: type)
        let plain = Tensor(values, shape: [37, 53], device: .reference).converted(to: type)
        #expect(fast.quantizedParts.codes == plain.quantizedParts.codes)
        #expect(fast.quantizedParts.scales == plain.quantizedParts.scales)
        #expect(fast.quantizedParts.nestedCodes == plain.quantizedParts.nestedCodes)
        #expect(isClose(fast.values, plain.values, relative: 1e-6))
    }

    @Test("int8 rounds each row to 127 steps either way of zero, ties to even")
    func int8() {
        let rows: [[Float]] = [
            [127, 0.5, 1.5, 2.5, -0.5, -1.5, -126.4], [0, 0, 0, 0, 0, 0, 0], [-2, 1, 0, 0.5, 2, 0.0078, -0.008],
        ]
        let stored = Tensor(rows.flatMap { $0 }, shape: [3, 7]).converted(to: .int8)
        let codes = stored.quantizedParts.codes.map { Int(Int8(bitPattern: $0)) }
        #expect(codes == [127, 0, 2, 2, 0, -2, -126] + [0, 0, 0, 0, 0, 0, 0] + [-127, 64, 0, 32, 127, 0, -1])
        #expect(stored.quantizedParts.scales == [1, 0, 2 / 127])
        #expect(stored.values[14] == -2)
    }

    @Test("numbers that are none stay none", arguments: types)
    func notANumber(_ type: DType) {
        var values = OpCase.numbers(4 * 64, seed: 1)
        values[70] = .nan
        let stored = Tensor(values, shape: [4, 64]).converted(to: type).values
        #expect(stored[70].isNaN)
        // Also for the mean that double quantisation takes.
        #expect(stored[0].isNaN == (type == .nf4DoubleQuant))
    }

    @Test(
        "products and lookups on stored weights are those on the numbers that come back, to the bit",
        arguments: types, [[64, 128], [37, 53], [576, 192], [70, 600], [1, 2100]])
    func products(_ type: DType, _ shape: [Int]) {
        let weight = Tensor(OpCase.numbers(shape[0] * shape[1], seed: 1), shape: shape).converted(to: type)
        let plain = weight.converted(to: .f32)
        for rows in [1, 3, 16, 33, 300] {
            let x = Tensor(OpCase.numbers(rows * shape[1], seed: 2), shape: [rows, shape[1]])
            let dy = Tensor(OpCase.numbers(rows * shape[0], seed: 3), shape: [rows, shape[0]])
            func run(_ weight: Tensor, _ precision: Precision, isDecoding: Bool) -> (y: [Float], dx: [Float]) {
                let tape = Tape()
                let leaf = tape.leaf(x)
                let y = LinearOperands(weight: weight, precision: precision)(leaf, isDecoding: isDecoding)
                tape.backward(from: y, gradient: dy)
                return (y.values, tape.gradient(of: leaf)?.values ?? [])
            }
            for (precision, isDecoding) in [(Precision.f32, false), (.f32, true), (.bf16, false)] {
                let stored = run(weight, precision, isDecoding: isDecoding)
                let expected = run(plain, precision, isDecoding: isDecoding)
                #expect(stored.y == expected.y)
                #expect(stored.dx == expected.dx && !stored.dx.isEmpty)
            }
        }
        let picked = (0..<50).map { Int32($0 * 7 % shape[0]) }
        #expect(gatherRows(weight, picked).values == gatherRows(plain, picked).values)
    }

    @Test("the bytes are those of the arithmetic, and converting says what was lost")
    func sizes() {
        let weight = Tensor(OpCase.numbers(1024 * 1024, seed: 1), shape: [1024, 1024])
        func bytes(_ type: DType) -> Double { Double(weight.converted(to: type).byteCount) / Double(weight.count) }
        #expect(bytes(.nf4) == 0.5625)
        #expect(abs(bytes(.nf4DoubleQuant) - (0.5 + 1 / 64.0 + 4 / (64 * 256.0))) < 1e-5)
        #expect(bytes(.int8) == 1 + 4 / 1024.0)
        let stored = weight.converted(to: .nf4)
        let (error, total) = weight.squaredError(of: stored)
        let expected = zip(weight.values, stored.values).reduce(0) { $0 + Double($1.0 - $1.1) * Double($1.0 - $1.1) }
        #expect(isClose(error, expected, relative: 1e-6))
        #expect(isClose(total, weight.values.reduce(0) { $0 + Double($1) * Double($1) }, relative: 1e-6))
        #expect((0.06...0.12).contains((error / total).squareRoot()))
    }
}
