import Datasets
import Layers

/// Examples as one flat row of tokens: what a model reads, and which of its rows predict a target.
struct TokenRows {
    var tokens: [Int32] = []
    var rows: [Int32] = []
    var targets: [Int32] = []
    /// For each target: which example of the batch it belongs to.
    var examples: [Int] = []
    let layout: SequenceLayout

    /// Lays examples one after the other. Tokens from an example's last target on predict nothing and are left out.
    init(_ examples: [Example]) {
        var sequences: [SequenceLayout.Sequence] = []
        for (number, example) in examples.enumerated() {
            guard let last = example.isTarget.lastIndex(of: true), last > 0 else { continue }
            let start = Int32(tokens.count)
            for index in 1...last where example.isTarget[index] {
                rows.append(start + Int32(index) - 1)
                targets.append(example.tokens[index])
                self.examples.append(number)
            }
            tokens += example.tokens[..<last]
            // The pieces of a row that was split are sequences of their own, and so is what dropout drops in them.
            sequences.append(.init(count: last, row: example.row << 24 ^ example.start))
        }
        layout = SequenceLayout(sequences)
    }
}
