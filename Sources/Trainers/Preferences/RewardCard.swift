import Datasets
import Files
import Foundation
import Models

/// A pair as a reward model judges it.
public struct JudgedPair: Hashable, Sendable {
    /// The reward of the chosen answer.
    public var chosen: Double
    /// The reward of the rejected answer.
    public var rejected: Double
    /// The number of tokens of either answer.
    public var lengths: (chosen: Int, rejected: Int) { (chosenLength, rejectedLength) }
    /// Whether the model says the same with the answers the other way round; nil where that was not looked at.
    public var isSameSwapped: Bool?
    private var chosenLength: Int
    private var rejectedLength: Int

    /// Makes a judgement.
    public init(chosen: Double, rejected: Double, lengths: (chosen: Int, rejected: Int), isSameSwapped: Bool? = nil) {
        self.chosen = chosen
        self.rejected = rejected
        self.isSameSwapped = isSameSwapped
        (chosenLength, rejectedLength) = lengths
    }

    /// By how much the chosen answer is ahead.
    var margin: Double { chosen - rejected }
}

/// How far a reward model can be trusted, from pairs that it was not trained on: `reward_card.json`.
public struct RewardCard: Equatable, Sendable {
    /// Pairs of which the model is about as sure.
    public struct Bin: Equatable, Sendable {
        /// The confidences in it: `σ(|c − r|)`, which is 0.5 for equal rewards.
        public var range: ClosedRange<Double>
        /// The pairs.
        public var pairs: Int
        /// Their mean confidence.
        public var confidence: Double
        /// The share of them the right way round.
        public var accuracy: Double
    }

    /// The pairs.
    public var pairs: Int
    /// The share of pairs whose chosen answer has the higher reward.
    public var accuracy: Double
    /// Its 95 % interval, Wilson's.
    public var accuracyInterval: ClosedRange<Double>
    /// The mean of chosen minus rejected.
    public var margin: Double
    /// Its standard error.
    public var marginStandardError: Double
    /// The reliability curve: how often the model is right where it is so sure. Bins without a pair are left out.
    public var reliability: [Bin]
    /// The expected calibration error: the mean distance of confidence from accuracy over pairs, bin by bin.
    public var calibrationError: Double
    /// Pearson's correlation of an answer's reward with its tokens, over all answers; 0 where one of the two does not vary.
    public var lengthPearson: Double
    /// Spearman's, likewise.
    public var lengthSpearman: Double
    /// Pearson's correlation of the margin with the difference in tokens: what of it is left within a prompt.
    public var marginLengthPearson: Double
    /// The share of pairs whose chosen answer is the longer one.
    public var longerChosen: Double
    /// The share of pairs whose longer answer has the higher reward.
    public var longerPreferred: Double
    /// The pairs that were judged once more with their answers the other way round.
    public var swappedPairs: Int
    /// The share of those of which the model says the same.
    public var swappedAgreement: Double

    /// How many pairs are judged both ways at most: a fault in how answers are laid out would show in any of them.
    static let mostSwapped = 16

    /// How many bins there are between 0.5 and 1.
    static let binCount = 10

    /// Sums up judgements, at least one.
    public init(_ judged: [JudgedPair]) {
        precondition(!judged.isEmpty, "a reward card of no pairs")
        let count = Double(judged.count)
        func share(_ isTrue: (JudgedPair) -> Bool) -> Double { Double(judged.count(where: isTrue)) / count }
        pairs = judged.count
        accuracy = share { $0.margin > 0 }
        accuracyInterval = Self.wilson(accuracy, count: count)
        (margin, marginStandardError) = meanAndError(judged.map(\.margin))
        reliability = Self.reliability(judged)
        calibrationError = reliability.reduce(0) { $0 + Double($1.pairs) / count * abs($1.accuracy - $1.confidence) }
        let rewards = judged.flatMap { [$0.chosen, $0.rejected] }
        let lengths = judged.flatMap { [Double($0.lengths.chosen), Double($0.lengths.rejected)] }
        lengthPearson = correlation(rewards, lengths)
        lengthSpearman = correlation(ranks(rewards), ranks(lengths))
        let longer = judged.map { Double($0.lengths.chosen - $0.lengths.rejected) }
        marginLengthPearson = correlation(judged.map(\.margin), longer)
        longerChosen = share { $0.lengths.chosen > $0.lengths.rejected }
        longerPreferred = share { $0.margin * Double($0.lengths.chosen - $0.lengths.rejected) > 0 }
        let swapped = judged.compactMap(\.isSameSwapped)
        swappedPairs = swapped.count
        swappedAgreement = Double(swapped.count { $0 }) / Double(swapped.count)
    }

    /// Judges pairs as they stand, and some also with their answers the other way round.
    ///
    /// - Throws: `RunError` for a reward that is not finite.
    public static func judged(
        _ examples: [Example], by model: CausalLM, adapters: [String]
    ) throws -> [JudgedPair] {
        let scorer = RewardScorer(model, adapters: adapters)
        let rewards = scorer.rewards(examples)
        let swapped = scorer.rewards(examples.prefix(mostSwapped).map(\.swapped))
        return try examples.indices.map { index in
            let (pair, example) = (rewards[index], examples[index])
            guard pair.allSatisfy(\.isFinite) else {
                throw RunError(
                    "the rewards of dataset row \(example.row + 1) are not finite: the weights of the reward model are damaged"
                )
            }
            return JudgedPair(
                chosen: pair[0], rejected: pair[1],
                lengths: (example.range(ofAnswer: 0).count, example.range(ofAnswer: 1).count),
                isSameSwapped: index < swapped.count ? isSame(pair, swapped[index].reversed()) : nil)
        }
    }

    private static func isSame(_ a: [Double], _ b: [Double]) -> Bool {
        (a[0] > a[1]) == (b[0] > b[1]) && (a[0] < a[1]) == (b[0] < b[1])
    }

    /// Wilson's interval of a share at 95 %.
    static func wilson(_ share: Double, count: Double) -> ClosedRange<Double> {
        let z = 1.959963984540054
        let centre = share + z * z / (2 * count)
        let spread = z * (share * (1 - share) / count + z * z / (4 * count * count)).squareRoot()
        let scale = 1 + z * z / count
        return max(0, (centre - spread) / scale)...min(1, (centre + spread) / scale)
    }

    private static func reliability(_ judged: [JudgedPair]) -> [Bin] {
        let width = 0.5 / Double(binCount)
        let byBin = Dictionary(grouping: judged) { min(binCount - 1, Int((confidence($0) - 0.5) / width)) }
        return byBin.sorted { $0.key < $1.key }.map { bin, pairs in
            let (low, count) = (Double(binCount + bin) / Double(2 * binCount), Double(pairs.count))
            return Bin(
                range: low...Double(binCount + bin + 1) / Double(2 * binCount), pairs: pairs.count,
                confidence: pairs.reduce(0) { $0 + confidence($1) } / count,
                accuracy: Double(pairs.count { $0.margin > 0 }) / count)
        }
    }

    /// How sure the model is of its own verdict.
    private static func confidence(_ pair: JudgedPair) -> Double { 1 / (1 + exp(-abs(pair.margin))) }

    /// The numbers as an object. What is not a number (the error of one pair's margin, say) is null.
    public var json: JSON {
        func value(_ number: Double) -> JSON { number.isFinite ? .number(number) : .null }
        return [
            "pairs": .integer(pairs), "accuracy": value(accuracy),
            "accuracy_95": [value(accuracyInterval.lowerBound), value(accuracyInterval.upperBound)],
            "margin": value(margin), "margin_standard_error": value(marginStandardError),
            "expected_calibration_error": value(calibrationError),
            "reliability": .array(
                reliability.map {
                    [
                        "from": value($0.range.lowerBound), "to": value($0.range.upperBound),
                        "pairs": .integer($0.pairs),
                        "confidence": value($0.confidence), "accuracy": value($0.accuracy),
                    ]
                }),
            "length": [
                "pearson": value(lengthPearson), "spearman": value(lengthSpearman),
                "margin_pearson": value(marginLengthPearson), "longer_chosen": value(longerChosen),
                "longer_preferred": value(longerPreferred),
            ],
            "swapped_pairs": .integer(swappedPairs), "swapped_agreement": value(swappedAgreement),
        ]
    }
}

extension Example {
    /// A pair with its answers the other way round.
    fileprivate var swapped: Example {
        let prompt = Array(tokens[..<answers[0]])
        return Example(
            prompt: prompt, answers: answers.indices.reversed().map { Array(tokens[range(ofAnswer: $0)]) }, row: row)
    }
}
