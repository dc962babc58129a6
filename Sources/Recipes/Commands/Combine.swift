import Adapters
import Datasets
import Files
import Foundation
import Trainers

/// How adapters are combined, as ``Commands/combine(adapters:_:output:scoring:observer:)`` takes it.
public typealias Combination = Adapters.Combination

/// The combinations that `graft adapters combine` tries.
public struct CombinationGrid: Sendable {
    /// The combinations, in the order in which they are tried.
    public let combinations: [Combination]

    /// Every choice of weights with every density.
    ///
    /// - Parameters:
    ///   - combination: what all have in common.
    ///   - weights: the weights to try; where there are none, all that add up to 1 in steps of a quarter.
    ///   - densities: the densities to try; where there are none, and the type takes one, 0.2, 0.4, 0.6 and 0.8.
    ///   - adapters: the number of adapters.
    public init(_ combination: Combination, weights: [[Double]], densities: [Double], adapters: Int) {
        let weights = weights.isEmpty ? Self.quarters(4, adapters) : weights
        let densities: [Double?] =
            densities.isEmpty ? combination.type.takesDensity ? [0.2, 0.4, 0.6, 0.8] : [nil] : densities
        combinations = weights.flatMap { weights in
            densities.map { density in
                var copy = combination
                (copy.weights, copy.density) = (weights, density)
                return copy
            }
        }
    }

    /// All ways to deal out so many quarters.
    private static func quarters(_ left: Int, _ adapters: Int) -> [[Double]] {
        guard adapters > 1 else { return [[Double(left) / 4]] }
        return (0...left).flatMap { own in
            quarters(left - own, adapters - 1).map { [Double(own) / 4] + $0 }
        }
    }
}

/// What became of combining adapters.
public struct CombineReport: Sendable {
    /// A combination with its likelihood of the rows.
    public struct Trial: Sendable {
        /// How it was made.
        public var combination: Combination
        /// Its likelihood of the rows; nil without rows.
        public var result: EvaluationResult?
    }

    /// The folder written.
    public var output: String
    /// The rank of the result.
    public var rank: Int
    /// The layers that it adapts.
    public var layers: Int
    /// The base model's likelihood of the rows; nil without rows.
    public var base: EvaluationResult?
    /// The adapters, each with its likelihood; nil without rows.
    public var inputs: [(path: String, result: EvaluationResult?)]
    /// What was tried, best first; the first was written.
    public var trials: [Trial]

    /// The report as an object.
    public var json: JSON {
        [
            "output": .string(output), "rank": .integer(rank), "layers": .integer(layers),
            "base": base?.json ?? .null,
            "inputs": .array(
                inputs.map { ["adapter": .string($0.path), "evaluation": $0.result?.json ?? .null] }),
            "trials": .array(trials.map { $0.json(inputs.map(\.path)) }),
        ]
    }
}

extension CombineReport.Trial {
    fileprivate func json(_ adapters: [String]) -> JSON {
        [
            "combination_type": .string(combination.type.rawValue),
            "weights": .array(combination.weights.map { .number($0) }),
            "density": combination.density.map { .number($0) } ?? .null,
            "description": .string(combination.description(of: adapters)), "evaluation": result?.json ?? .null,
        ]
    }
}

extension Commands {
    /// The type of a name.
    ///
    /// - Throws: ``InputError`` for a name that is none's.
    public static func combinationType(_ name: String) throws -> CombinationType {
        try named(name, "--combination-type")
    }

    /// The way to elect signs of a name.
    ///
    /// - Throws: ``InputError`` for a name that is none's.
    public static func majoritySign(_ name: String) throws -> MajoritySign { try named(name, "--majority-sign-method") }

    private static func named<Choice: RawRepresentable & CaseIterable>(
        _ name: String, _ flag: String
    ) throws -> Choice where Choice.RawValue == String {
        if let choice = Choice(rawValue: name) { return choice }
        let names = Choice.allCases.map(\.rawValue)
        throw InputError(
            "`\(flag)` must be one of \(names.joined(separator: ", ")), not `\(name)`",
            hint: nearestName(to: name, among: names).map { "Did you mean `\($0)`?" })
    }

    /// Combines LoRA adapters into one and, where rows are given, scores the inputs and the result.
    ///
    /// - Parameters:
    ///   - adapters: folders of LoRA adapters of one base.
    ///   - combinations: how; of several the one under which the rows are most probable is written.
    ///   - output: the folder to write; must not exist.
    ///   - scoring: the base model and the rows; nil to score nothing.
    ///   - observer: takes remarks.
    /// - Returns: what was tried and written.
    /// - Throws: ``InputError`` for anything that cannot be read or combined; ``RunError`` where the folder cannot be written.
    public static func combine(
        adapters: [String], _ combinations: [Combination], output: String,
        scoring: (model: ModelSettings, rows: ScoringOptions)? = nil, observer: RunObserver = { _ in }
    ) throws -> CombineReport {
        let output = try freeName(output)
        guard combinations.count == 1 || scoring != nil, !combinations.isEmpty else {
            throw InputError("several combinations are ranked by rows: `--data` and `--model` are missing")
        }
        let temporary = output + ".partial"
        try? FileManager.default.removeItem(atPath: temporary)
        defer { try? FileManager.default.removeItem(atPath: temporary) }
        let scorer = try scoring.map { try CombinationScorer($0.model, $0.rows, adapters, observer: observer) }
        var (best, bestNLL): (CombinedAdapter?, Double) = (nil, .infinity)
        var trials: [CombineReport.Trial] = []
        for combination in combinations {
            let combined = try CombinedAdapter(adapters, by: combination)
            if trials.isEmpty { combined.notes.forEach { observer(.note($0)) } }
            let result = try scorer.map { scorer in
                try combined.write(to: temporary)
                return try scorer.score(temporary)
            }
            trials.append(CombineReport.Trial(combination: combination, result: result))
            if let result, combinations.count > 1 {
                let perplexity = String(format: "%.3f", result.perplexity)
                observer(.note("perplexity \(perplexity): \(combination.description(of: adapters))"))
            }
            if best == nil || (result?.nll ?? .infinity) < bestNLL {
                (best, bestNLL) = (combined, result?.nll ?? .infinity)
            }
        }
        guard let best else { preconditionFailure("no combination of \(combinations.count) was made") }
        try best.write(to: temporary)
        guard rename(temporary, output) == 0 else {
            throw RunError("cannot write \(output): \(String(cString: strerror(errno)))")
        }
        let ranked = trials.enumerated().sorted {
            ($0.element.result?.nll ?? .infinity, $0.offset) < ($1.element.result?.nll ?? .infinity, $1.offset)
        }.map(\.element)
        return CombineReport(
            output: output, rank: best.rank, layers: best.layers, base: scorer?.base,
            inputs: adapters.enumerated().map { ($1, scorer?.inputs[$0]) }, trials: ranked)
    }
}

/// The base model with the rows that adapters are scored on.
private struct CombinationScorer {
    let base: EvaluationResult
    let inputs: [EvaluationResult]
    private let session: ModelSession
    private let rows: EvaluationRows

    init(_ settings: ModelSettings, _ options: ScoringOptions, _ adapters: [String], observer: RunObserver) throws {
        session = try ModelSession(settings.adopting(storageOf: adapters, observer: observer), observer: observer)
        let names = try session.attach(adapters, observer: observer)
        rows = try options.rows(for: session, observer: observer)
        base = try Self.evaluate(session, rows, [])
        inputs = try names.map { [session, rows] in try Self.evaluate(session, rows, [$0]) }
        names.forEach { [session] in detachAdapter(named: $0, from: session.model) }
    }

    /// The likelihood of the rows with an adapter on.
    func score(_ folder: String) throws -> EvaluationResult {
        let name = "combined"
        try attach(AdapterFolder(folder), to: session.model, name: name, isTrainable: false)
        defer { detachAdapter(named: name, from: session.model) }
        return try Self.evaluate(session, rows, [name])
    }

    private static func evaluate(
        _ session: ModelSession, _ rows: EvaluationRows, _ adapters: [String]
    ) throws -> EvaluationResult {
        let result = Evaluator(session.model, adapters: adapters).evaluate(rows.examples, skipped: rows.skipped)
        guard result.nll.isFinite else { throw RunError("the likelihoods are not finite: an adapter is damaged") }
        return result
    }
}
