import Files
import TestSupport
import Testing
import Trainers

/// Each loss against TRL's own code on the same log-probabilities: `Tests/Fixtures/preferences/losses.json`.
@Suite("Preference losses agree with TRL") struct PreferenceLossTests {
    private let golden: JSON

    init() throws { golden = try JSON(contentsOf: Locations.fixture("preferences/losses.json")) }

    private static func numbers(_ json: JSON?) -> [Float] {
        (json?.array ?? []).compactMap { $0.number.map(Float.init) }
    }

    /// The scores of five pairs; `policy` in the place of the policy's.
    private func pairs(policy: JSON? = nil) throws -> [[AnswerScores]] {
        let given = try #require(golden["given"])
        func column(_ name: String, _ side: String) -> [[Float]] {
            let source = name == "policy" ? policy ?? given[name] : given[name]
            return (source?[side]?.array ?? []).map(Self.numbers)
        }
        let sides = ["chosen", "rejected"].map { side in
            (0..<5).map { row in
                AnswerScores(
                    policy: column("policy", side)[row], reference: column("reference", side)[row],
                    entropies: column("entropy", side)[row], hits: column("is_top1", side)[row],
                    meanLogits: column("mean_logits", side)[row],
                    logSumSquares: column("log_sum_sq_probs", side)[row])
            }
        }
        return zip(sides[0], sides[1]).map { [$0, $1] }
    }

    private func cases(_ method: String, count: Int) throws -> [JSON] {
        let cases = try #require(golden[method]?.array)
        #expect(cases.count == count)
        return cases
    }

    /// A pair and a chosen token count as in a step of these pairs alone.
    private func scales(_ pairs: [[AnswerScores]]) -> (pairs: Double, tokens: Double) {
        (1 / Double(pairs.count), 1 / Double(pairs.reduce(0) { $0 + $1[0].count }))
    }

    private func check(
        _ loss: Double, _ gradient: [[[Float]]], _ sums: [String: (sum: Double, count: Double)], _ golden: JSON
    ) throws {
        let settings = "\(golden["settings"]?.text() ?? "")"
        #expect(isClose(loss, try #require(golden["loss"]?.number), relative: 1e-5), "\(settings)")
        for (name, value) in golden["metrics"]?.object ?? [:] {
            let sum = try #require(sums[name], "\(name) \(settings)")
            #expect(isClose(sum.sum / sum.count, value.number ?? .nan, relative: 1e-5), "\(name) \(settings)")
        }
        for (side, name) in ["chosen", "rejected"].enumerated() {
            let expected = try #require(golden["gradient"]?[name]?.array).flatMap(Self.numbers)
            let largest = expected.map { abs(Double($0)) }.max() ?? 0
            let actual = gradient.flatMap { $0[side] }
            #expect(
                isClose(actual, expected, relative: 0, absolute: max(1e-5 * largest, 1e-9)), "\(name) \(settings)")
        }
    }

    private func pairLoss(_ settings: JSON) throws -> PairLoss {
        var loss = PairLoss()
        let types = try #require(settings["loss_type"]?.array).map { PairLossType(rawValue: $0.string ?? "") }
        let weights = settings["loss_weights"]?.array?.compactMap(\.number)
        loss.terms = try types.enumerated().map { (try #require($1), weights?[$0] ?? 1) }
        loss.beta = try #require(settings["beta"]?.number)
        loss.labelSmoothing = try #require(settings["label_smoothing"]?.number)
        loss.divergence = try #require(Divergence(rawValue: settings["f_divergence_type"]?.string ?? ""))
        loss.alpha = try #require(settings["f_alpha_divergence_coef"]?.number)
        loss.discoPOPTau = try #require(settings["discopop_tau"]?.number)
        loss.ldAlpha = settings["ld_alpha"]?.number
        loss.usesWeighting = settings["use_weighting"]?.bool ?? false
        return loss
    }

    @Test("DPO's losses, combined, diverged, smoothed, desensitised to length and weighted")
    func dpo() throws {
        let pairs = try pairs()
        let scale = scales(pairs)
        var seen: Set<PairLossType> = []
        for golden in try cases("dpo", count: 103) {
            let loss = try pairLoss(#require(golden["settings"]))
            seen.formUnion(loss.terms.map(\.type))
            let result = loss(pairs, pairScale: scale.pairs, tokenScale: scale.tokens)
            try check(result.loss, result.gradient, result.sums, golden)
        }
        #expect(seen == Set(PairLossType.allCases))
    }

    @Test("KTO's losses")
    func kto() throws {
        let pairs = try pairs()
        let answers = pairs.map { $0[0] } + pairs.map { $0[1] }
        let cases = try cases("kto", count: 25)
        let other = try self.pairs(policy: cases[0]["mismatched"])
        let mismatched = other.map { $0[0] } + other.map { $0[1] }
        for golden in cases.dropFirst() {
            let settings = try #require(golden["settings"])
            var loss = LabelLoss()
            loss.type = try #require(LabelLossType(rawValue: settings["loss_type"]?.string ?? ""))
            loss.beta = try #require(settings["beta"]?.number)
            loss.desirableWeight = try #require(settings["desirable_weight"]?.number)
            loss.undesirableWeight = try #require(settings["undesirable_weight"]?.number)
            let labels = try #require(golden["labels"]?.array).map { $0.integer == 1 }
            let desirable = labels.count { $0 }
            func share(_ count: Int) -> Double { count == 0 ? 0 : 1 / Double(count) }
            let result = loss(
                zip(answers, labels).map { ($0, $1) },
                divergence: loss.type == .kto ? LabelLoss.divergence(mismatched: mismatched) : 0,
                scale: .init(
                    answers: share(labels.count), desirable: share(desirable),
                    undesirable: share(labels.count - desirable)))
            let gradient = (0..<5).map { [result.gradient[$0], result.gradient[$0 + 5]] }
            try check(result.loss, gradient, result.sums, golden)
        }
    }

    @Test("CPO's losses, SimPO and AlphaPO among them")
    func cpo() throws {
        let pairs = try pairs()
        let scale = scales(pairs)
        for golden in try cases("cpo", count: 64) {
            let settings = try #require(golden["settings"])
            var loss = ContrastiveLoss()
            loss.type = try #require(ContrastiveLossType(rawValue: settings["loss_type"]?.string ?? ""))
            loss.beta = try #require(settings["beta"]?.number)
            loss.labelSmoothing = try #require(settings["label_smoothing"]?.number)
            loss.likelihoodWeight = try #require(settings["cpo_alpha"]?.number)
            loss.gamma = try #require(settings["simpo_gamma"]?.number)
            loss.alpha = try #require(settings["alpha"]?.number)
            let result = loss(pairs, pairScale: scale.pairs, tokenScale: scale.tokens)
            try check(result.loss, result.gradient, result.sums, golden)
        }
    }

    @Test("ORPO's loss")
    func orpo() throws {
        let pairs = try pairs()
        let scale = scales(pairs)
        for golden in try cases("orpo", count: 2) {
            var loss = OddsRatioLoss()
            loss.beta = try #require(golden["settings"]?["beta"]?.number)
            let result = loss(
                pairs, prompts: pairs.map { _ in [] }, pairScale: scale.pairs, tokenScale: scale.tokens)
            try check(result.loss, result.gradient, result.sums, golden)
        }
    }

    /// The derivatives are ours, the losses TRL's: two ways to the same gradient.
    @Test("gradients are those of finite differences", arguments: PairLossType.allCases, Divergence.allCases)
    func finiteDifferences(_ type: PairLossType, _ divergence: Divergence) throws {
        let pairs = try pairs()
        let scale = scales(pairs)
        var loss = PairLoss()
        loss.terms = [(type, 0.7)]
        loss.beta = 0.4
        loss.labelSmoothing = 0.1
        loss.divergence = divergence
        loss.ldAlpha = 0.6
        let gradient = loss(pairs, pairScale: scale.pairs, tokenScale: scale.tokens).gradient
        for (pair, side, token) in [(0, 0, 1), (1, 1, 0), (2, 1, 7), (3, 0, 8), (4, 0, 2)] {
            func value(_ step: Float) -> (loss: Double, at: Double) {
                var moved = pairs
                moved[pair][side].policy[token] += step
                let result = loss(moved, pairScale: scale.pairs, tokenScale: scale.tokens)
                return (result.loss, Double(moved[pair][side].policy[token]))
            }
            let (above, below) = (value(1e-3), value(-1e-3))
            let slope = (above.loss - below.loss) / (above.at - below.at)
            #expect(isClose(Double(gradient[pair][side][token]), slope, relative: 1e-5, absolute: 2e-7))
        }
    }

    @Test("a pair the model finds as likely as the reference loses ln 2")
    func atTheStart() {
        let answer = AnswerScores(policy: [-1, -2.5], reference: [-1, -2.5])
        let loss = PairLoss()([[answer, answer]], pairScale: 1, tokenScale: 1).loss
        #expect(loss == 0.693147180559945309)
    }
}
