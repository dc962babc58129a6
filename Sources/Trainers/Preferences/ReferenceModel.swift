import Datasets
import Files
import Layers
import Models
import Tensors

/// The model that preferences and policy optimisation measure change against.
public enum ReferenceModel {
    /// A model with some of its adapters active. The model in training with none, or with those it started from, is one, at no memory.
    case model(CausalLM, adapters: [String])
    /// Log-probabilities that were computed before.
    case known(ReferenceLogProbabilities)

    /// `log p` of each answer's targets, by example and answer.
    func logProbabilities(_ examples: [Example]) -> [[[Float]]] {
        switch self {
        case .model(let model, let adapters):
            let rows = TokenRows(examples)
            let scores = model.score(
                rows.tokens, rows: rows.rows, targets: rows.targets, ForwardContext(rows.layout, adapters: adapters)
            ).scores
            return rows.answers.map { $0.map { Array(scores.logProbabilities[$0]) } }
        case .known(let known): return examples.map { known[$0] }
        }
    }
}

/// The reference model's log-probabilities of a data set's answers, computed once for a whole run, or for several.
public struct ReferenceLogProbabilities: Sendable {
    private var values: [String: [[Float]]] = [:]

    /// None yet.
    public init() {}

    /// Those of one example, by answer.
    ///
    /// The example must be one of those computed.
    public subscript(_ example: Example) -> [[Float]] {
        guard let found = values[Self.key(example)] else {
            preconditionFailure("no reference log-probabilities of dataset row \(example.row + 1)")
        }
        return found
    }

    /// How many examples' are known.
    public var count: Int { values.count }

    /// What an example's log-probabilities are a function of, beside the model.
    static func key(_ example: Example) -> String {
        let hash = ContentHash()
        example.tokens.withUnsafeBytes(hash.add)
        example.answers.withUnsafeBytes(hash.add)
        example.isTarget.withUnsafeBytes(hash.add)
        return hash.hexadecimal
    }

    /// Computes those of all examples.
    ///
    /// - Parameters:
    ///   - examples: the rows of training and evaluation.
    ///   - reference: the model.
    ///   - adapters: its active adapters.
    ///   - progress: called with the share that is done.
    public init(
        _ examples: [Example], of reference: CausalLM, adapters: [String], progress: (Double) -> Void = { _ in }
    ) {
        var done = 0
        for part in examples.parts(ofTokens: Evaluator.tokensPerBatch) {
            let scores = ReferenceModel.model(reference, adapters: adapters).logProbabilities(part)
            for (example, scores) in zip(part, scores) { values[Self.key(example)] = scores }
            done += part.count
            progress(Double(done) / Double(examples.count))
        }
    }

    // MARK: - On disk

    private static let version = "graft reference 1"

    /// The key of a file that holds the log-probabilities of these examples under the model that `identity` names.
    public static func fileKey(_ examples: [Example], identity: [String]) -> String {
        let hash = ContentHash()
        for part in [version] + identity + examples.map(key) {
            hash.add(part)
            hash.add("\n")
        }
        return hash.hexadecimal
    }

    /// Reads what ``write(to:for:)`` wrote; nil where the file is missing, cut short, changed, or of other examples.
    public init?(path: String, for examples: [Example]) {
        guard let file = try? MappedFile(path) else { return nil }
        let read = file.withBytes { bytes -> [String: [[Float]]]? in
            guard bytes.count >= 32 else { return nil }
            let (body, check) = (UnsafeRawBufferPointer(rebasing: bytes.dropLast(32)), bytes.suffix(32))
            let hash = ContentHash()
            hash.add(body)
            guard Array(hash.hexadecimal.utf8) == Array(check) else { return nil }
            var values: [String: [[Float]]] = [:]
            var at = 0
            for example in examples {
                values[Self.key(example)] = example.answers.indices.compactMap { answer -> [Float]? in
                    let count = example.isTarget[example.range(ofAnswer: answer)].count { $0 }
                    guard at + 4 * count <= body.count else { return nil }
                    defer { at += 4 * count }
                    return (0..<count).map { body.loadUnaligned(fromByteOffset: at + 4 * $0, as: Float.self) }
                }
            }
            return at == body.count ? values : nil
        }
        guard let read else { return nil }
        values = read
    }

    /// Writes the log-probabilities of these examples, whole or not at all.
    ///
    /// - Throws: ``RunError`` or ``InputError`` where the folder cannot be written.
    public func write(to path: String, for examples: [Example]) throws {
        try FileWriting.replace(path) { sink in
            let hash = ContentHash()
            for example in examples {
                for answer in self[example] {
                    try answer.withUnsafeBytes { bytes in
                        hash.add(bytes)
                        try sink.write(bytes)
                    }
                }
            }
            try sink.write(hash.hexadecimal)
        }
    }
}

extension Array where Element == Example {
    /// The examples in order, as many to a part as hold so many tokens, at least one.
    func parts(ofTokens limit: Int) -> [[Example]] {
        var parts: [[Example]] = []
        var room = 0
        for example in self {
            if example.tokens.count > room {
                parts.append([])
                room = limit
            }
            parts[parts.count - 1].append(example)
            room -= example.tokens.count
        }
        return parts
    }
}
