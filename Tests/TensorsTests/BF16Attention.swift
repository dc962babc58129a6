import CKernels
import Testing

/// Attention over made-up numbers in bf16, on the entries of one unit.
struct BF16Attention: Sendable, CustomTestStringConvertible {
    enum Read: Sendable {
        case rows(Range<Int>)
        case outside(Range<Int>)
    }

    struct Sequence: Sendable {
        var rows: Range<Int>
        var reads: [Read]

        init(_ rows: Range<Int>, reads: [Read] = []) { (self.rows, self.reads) = (rows, reads) }
    }

    /// The arrays: out, dq, dk, dv and, where there are outside keys, the gradients of those.
    struct Result: Equatable {
        var lse: [Float]
        var arrays: [[Float]]
    }

    let rows, heads, keyHeads, dimension: Int
    let sequences: [Sequence]
    let outsideRows: Int
    let scale: Float
    /// The made-up numbers are those from this row on.
    let firstRow: Int
    /// Rows of q, k, v and dout that are not numbers.
    var spoiledRows = 0..<0

    init(
        _ rows: Int, heads: Int, _ keyHeads: Int, _ dimension: Int, _ sequences: [Sequence], outsideRows: Int = 0,
        scale: Float = 0.5, firstRow: Int = 0
    ) {
        (self.rows, self.heads, self.keyHeads, self.dimension) = (rows, heads, keyHeads, dimension)
        (self.sequences, self.outsideRows, self.scale, self.firstRow) = (sequences, outsideRows, scale, firstRow)
    }

    var testDescription: String {
        "\(rows) rows, \(sequences.count) sequences, \(heads) heads over \(keyHeads) of \(dimension)"
    }

    /// Numbers in memory that kernels read and write.
    private final class Memory<Element> {
        let elements: UnsafeMutableBufferPointer<Element>

        init(_ values: some Collection<Element>) {
            elements = .allocate(capacity: max(values.count, 1))
            _ = elements.initialize(from: values)
            count = values.count
        }

        deinit { elements.deallocate() }

        let count: Int
        var pointer: UnsafeMutablePointer<Element>? { elements.baseAddress }
        var values: [Element] { Array(elements[..<count]) }
        var matrix: CKernels.matrix {
            var matrix = CKernels.matrix()
            (matrix.data, matrix.dtype) = (UnsafeRawPointer(pointer), Element.self == Float.self ? 0 : 1)
            return matrix
        }
        var array: CKernels.array { CKernels.array(data: pointer, dtype: Element.self == Float.self ? 0 : 1) }
    }

    private func numbers(_ heads: Int, seed: UInt64) -> Memory<UInt16> {
        let width = heads * dimension
        let memory = Memory(
            OpCase.numbers((firstRow + rows) * width, seed: seed)[(firstRow * width)...].map(\.upperHalf))
        for index in spoiledRows.lowerBound * width..<spoiledRows.upperBound * width { memory.elements[index] = 0x7FC0 }
        return memory
    }

    private func empty(_ heads: Int) -> Memory<UInt16> {
        Memory([UInt16](repeating: 0x7FC0, count: rows * heads * dimension))
    }

    private func outside(seed: UInt64) -> Memory<Float> {
        Memory(OpCase.numbers(outsideRows * keyHeads * dimension, seed: seed))
    }

    /// On a unit, or with the plain loops where that is nil; nil where this machine lacks the unit. The backward pass starts from
    /// the results of `forward` where given, else from its own.
    func evaluate(on unit: String?, forward: Result? = nil) -> Result? {
        let (T, H, K, D) = (Int64(rows), Int64(heads), Int64(keyHeads), Int64(dimension))
        let (q, k, v) = (numbers(heads, seed: 1), numbers(keyHeads, seed: 2), numbers(keyHeads, seed: 3))
        let (out, dq, dk, dv) = (empty(heads), empty(heads), empty(keyHeads), empty(keyHeads))
        let dout = numbers(heads, seed: 4), lse = Memory([Float](repeating: .nan, count: rows * heads))
        let outside = (5...8).map { self.outside(seed: $0) }
        let (start, startLSE) = (
            forward.map { Memory($0.arrays[0].map(\.upperHalf)) } ?? out, forward.map { Memory($0.lse) } ?? lse
        )
        let plain = graft_reference_table().pointee
        return withLayout(outside) { layout in
            if let unit {
                guard
                    graft_attention_forward_on(
                        unit, out.array, lse.pointer, q.matrix, k.matrix, v.matrix, layout, T, H, K, D, scale),
                    graft_attention_backward_on(
                        unit, dq.array, dk.array, dv.array, dout.matrix, start.matrix, startLSE.pointer, q.matrix,
                        k.matrix, v.matrix, layout, T, H, K, D, scale)
                else { return nil }
            } else {
                plain.attention_forward(
                    out.array, lse.pointer, q.matrix, k.matrix, v.matrix, layout, T, H, K, D, scale)
                plain.attention_backward(
                    dq.array, dk.array, dv.array, dout.matrix, start.matrix, startLSE.pointer, q.matrix, k.matrix,
                    v.matrix, layout, T, H, K, D, scale)
            }
            let arrays = [out, dq, dk, dv].map { $0.values.map(Float.init(upperHalf:)) }
            return Result(lse: lse.values, arrays: arrays + (outsideRows > 0 ? outside[2...].map(\.values) : []))
        }
    }

    /// `outside`: keys, values and the gradients of both.
    private func withLayout<Value>(
        _ outside: [Memory<Float>], _ body: (UnsafePointer<attention_layout>) -> Value
    ) -> Value {
        var segments: [key_segment] = []
        let list = sequences.map { sequence in
            let first = segments.count
            for read in sequence.reads {
                switch read {
                case .rows(let rows):
                    segments.append(.init(start: Int64(rows.lowerBound), count: Int64(rows.count), outside: -1))
                case .outside(let rows):
                    segments.append(.init(start: Int64(rows.lowerBound), count: Int64(rows.count), outside: 0))
                }
            }
            return attention_sequence(
                start: Int64(sequence.rows.lowerBound), count: Int64(sequence.rows.count), first_segment: Int32(first),
                segment_count: Int32(sequence.reads.count))
        }
        let (sequences, keySegments) = (Memory(list), Memory(segments))
        let keys = Memory([
            outside_keys(
                keys: outside[0].pointer, values: outside[1].pointer, keys_gradient: outside[2].pointer,
                values_gradient: outside[3].pointer, count: Int64(outsideRows), dtype: 0)
        ])
        var layout = attention_layout(
            sequences: sequences.pointer, segments: keySegments.pointer, outside: keys.pointer,
            sequence_count: Int32(sequences.count), segment_count: Int32(keySegments.count),
            outside_count: outsideRows > 0 ? 1 : 0)
        return withExtendedLifetime((sequences, keySegments, keys, outside)) { body(&layout) }
    }
}

extension Float {
    /// The upper half of the number rounded to bf16, nearest even; for finite numbers.
    fileprivate var upperHalf: UInt16 {
        UInt16(truncatingIfNeeded: (bitPattern + 0x7FFF + (bitPattern >> 16 & 1)) >> 16)
    }

    fileprivate init(upperHalf: UInt16) { self.init(bitPattern: UInt32(upperHalf) << 16) }
}
