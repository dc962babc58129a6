import Models
import Tensors
import Trainers

/// A model's logits after every token of some sequences, kept to be compared with another's.
struct LogitRecord {
    private var chunks: [Tensor] = []

    init(_ model: CausalLM, adapters: [String], _ sequences: [[Int32]]) {
        model.forEachLogits(sequences, adapters: adapters) { chunks.append($0) }
    }

    /// How far another model's logits after the same tokens are from these.
    func difference(_ other: LogitRecord) -> LogitDifference {
        precondition(chunks.count == other.chunks.count, "records of \(chunks.count) and \(other.chunks.count) chunks")
        var difference = LogitDifference()
        for (a, b) in zip(chunks, other.chunks) { difference.add(a, b) }
        return difference
    }
}
