import Datasets
import Files
import Foundation
import Layers
import Models
import Tensors

/// The likelihood of a set of tokens under a model, with its errors.
public struct EvaluationResult: Equatable, Sendable {
    /// The mean negative log-likelihood of a token, in nats.
    public var nll: Double
    /// Its standard error, from the spread between rows (tokens of a row are not independent).
    public var nllStandardError: Double
    /// The tokens predicted.
    public var tokens: Int
    /// The rows that had any.
    public var rows: Int
    /// The rows left out because nothing in them is predicted.
    public var skipped: Int
    /// What the objective makes of the rows besides, under the names of its metrics; `loss` is what it minimises.
    public var metrics: [String: Double] = [:]

    /// What training minimises: the objective's own loss, or ``nll``.
    public var loss: Double { metrics["loss"] ?? nll }
    /// `exp(nll)`.
    public var perplexity: Double { exp(nll) }
    /// The error of the perplexity to first order: `perplexity · error(nll)`.
    public var perplexityStandardError: Double { perplexity * nllStandardError }

    /// The result from each row's summed negative log-likelihood and number of tokens.
    ///
    /// The mean is a ratio of sums, so its variance is that of the residuals `Lᵢ − nᵢ · mean` over rows.
    public init(rows: [(nll: Double, tokens: Int)], skipped: Int) {
        let tokens = rows.reduce(0) { $0 + $1.tokens }
        let mean = rows.reduce(0) { $0 + $1.nll } / Double(max(tokens, 1))
        let residuals = rows.reduce(0) { sum, row in
            let residual = row.nll - Double(row.tokens) * mean
            return sum + residual * residual
        }
        let count = Double(rows.count)
        nll = tokens == 0 ? .nan : mean
        nllStandardError = rows.count < 2 ? .nan : (residuals * count / (count - 1)).squareRoot() / Double(tokens)
        self.tokens = tokens
        self.rows = rows.count
        self.skipped = skipped
    }

    /// The numbers under the names of the command line's JSON, likelihoods where any token was predicted. What is not a number is null.
    public var json: JSON {
        func value(_ number: Double) -> JSON { number.isFinite ? .number(number) : .null }
        let likelihoods: [(String, JSON)] = [
            ("nll", value(nll)), ("nll_standard_error", value(nllStandardError)), ("perplexity", value(perplexity)),
            ("perplexity_standard_error", value(perplexityStandardError)),
        ]
        let counts: [(String, JSON)] = [
            ("tokens", .integer(tokens)), ("rows", .integer(rows)), ("skipped", .integer(skipped)),
        ]
        return JSON(
            members: (tokens > 0 ? likelihoods : []) + counts
                + metrics.sorted { $0.key < $1.key }.map { ($0.key, value($0.value)) })
    }

    /// Reads back what ``json`` wrote; nil where it is something else.
    public init?(_ json: JSON) {
        guard let tokens = json["tokens"]?.integer, let rows = json["rows"]?.integer,
            let skipped = json["skipped"]?.integer
        else { return nil }
        nll = json["nll"]?.number ?? .nan
        nllStandardError = json["nll_standard_error"]?.number ?? .nan
        self.tokens = tokens
        self.rows = rows
        self.skipped = skipped
        let own: Set = [
            "nll", "nll_standard_error", "perplexity", "perplexity_standard_error", "tokens", "rows", "skipped",
        ]
        for (name, value) in json.object ?? [:] where !own.contains(name) { metrics[name] = value.number ?? .nan }
    }
}

/// Scores examples without a tape.
public struct Evaluator {
    private let model: CausalLM
    private let adapters: [String]

    /// Tokens that are scored at a time; results do not depend on it.
    public static let tokensPerBatch = 4096

    /// Scores under `model` with the named adapters active.
    public init(_ model: CausalLM, adapters: [String]) {
        self.model = model
        self.adapters = adapters
    }

    /// The log-probability of each target of each example, in order.
    ///
    /// - Parameter examples: what is scored.
    /// - Returns: a list for each example; empty where nothing in it is predicted.
    public func logProbabilities(_ examples: [Example]) -> [[Float]] {
        examples.parts(ofTokens: Self.tokensPerBatch).flatMap { part in
            var results = [[Float]](repeating: [], count: part.count)
            let batch = TokenRows(part)
            guard !batch.targets.isEmpty else { return results }
            let context = ForwardContext(batch.layout, adapters: adapters)
            let scores = model.score(batch.tokens, rows: batch.rows, targets: batch.targets, context).scores
            for (example, logp) in zip(batch.examples, scores.logProbabilities) { results[example].append(logp) }
            return results
        }
    }

    /// The mean over all targets, with errors clustered by row.
    public func evaluate(_ examples: [Example], skipped: Int = 0) -> EvaluationResult {
        Self.result(logProbabilities(examples), of: examples, skipped: skipped)
    }

    /// The result of scores computed before. Examples of one dataset row (its windows) count as one row.
    public static func result(_ scores: [[Float]], of examples: [Example], skipped: Int = 0) -> EvaluationResult {
        var rows: [Int: (nll: Double, tokens: Int)] = [:]
        var order: [Int] = []
        for (example, logp) in zip(examples, scores) where !logp.isEmpty {
            if rows[example.row] == nil { order.append(example.row) }
            let sum = rows[example.row] ?? (0, 0)
            rows[example.row] = (sum.nll - logp.reduce(0.0) { $0 + Double($1) }, sum.tokens + logp.count)
        }
        let untrained = Set(examples.map(\.row)).count - order.count
        return EvaluationResult(rows: order.compactMap { rows[$0] }, skipped: skipped + untrained)
    }
}
