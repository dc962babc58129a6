import Files
import TestSupport
import Testing
import Trainers

/// The losses of whole answers by TRL's own code, and PPO's written out: `Tests/Fixtures/reinforcement/rollouts.json`.
@Suite("Losses of policy optimisation") struct PolicyLossTests {
    private let golden: JSON

    init() throws { golden = try JSON(contentsOf: Locations.fixture("reinforcement/rollouts.json")) }

    private func column(_ name: String) -> [[Float]] { (golden["given"]?[name]?.array ?? []).map { floats($0) } }

    private func floats(_ json: JSON?) -> [Float] { (json?.array ?? []).compactMap { $0.number.map { Float($0) } } }

    /// The answers, with an advantage a token where `ofAnswers` is false, else one for all of an answer's.
    private func answers(ofAnswers: Bool) -> [JudgedAnswer] {
        let whole = floats(golden["given"]?["advantage"])
        let old = column("old")
        return old.indices.map { index in
            var answer = JudgedAnswer(
                text: "", isStopped: true, scores: [], score: 0, old: old[index], reference: column("reference")[index],
                values: column("old_values")[index])
            answer.advantages = ofAnswers ? old[index].map { _ in whole[index] } : column("advantages")[index]
            answer.returns = column("returns")[index]
            return answer
        }
    }

    private func check(_ golden: JSON, _ loss: any RolloutLoss, scale: Double, ofAnswers: Bool) throws {
        let answers = zip(zip(column("new"), column("values")), answers(ofAnswers: ofAnswers)).map {
            CurrentAnswer(policy: $0.0, values: ofAnswers ? [] : $0.1, judged: $1)
        }
        try check(golden, loss(answers, scale: scale), ofAnswers: ofAnswers)
    }

    private func check(_ golden: JSON, _ results: [AnswerLoss], ofAnswers: Bool) throws {
        let name = "\(golden["settings"]?.text() ?? "")"
        #expect(
            isClose(results.reduce(0) { $0 + $1.loss }, try #require(golden["loss"]?.number), relative: 1e-5), "\(name)"
        )
        let gradient = (golden["gradient"]?.array ?? []).flatMap { floats($0) }
        #expect(isClose(results.flatMap(\.gradient), gradient, relative: 1e-5, absolute: 1e-7), "\(name)")
        guard !ofAnswers else { return }
        let values = (golden["value_gradient"]?.array ?? []).flatMap { floats($0) }
        #expect(isClose(results.flatMap(\.valueGradient), values, relative: 1e-5, absolute: 1e-7), "\(name)")
    }

    @Test func groupRelativeLossesAreTRLs() throws {
        let cases = try #require(golden["grpo"]?.array)
        #expect(cases.count == 12)
        for golden in cases {
            let settings = try #require(golden["settings"])
            var method = GRPO()
            (method.epsilon, method.epsilonHigh) = (0.2, 0.28)
            method.kl.coefficient = try #require(settings["beta"]?.number)
            method.lossType = try #require(settings["loss_type"]?.string.flatMap(GRPO.LossType.init))
            method.ratio = try #require(settings["importance_sampling_level"]?.string.flatMap(GRPO.RatioOf.init))
            let longest = try #require(self.golden["longest"]?.integer)
            let tokens = column("old").reduce(0) { $0 + $1.count }
            let count: Int =
                switch method.lossType {
                case .grpo: 4
                case .bnpo, .dapo: tokens
                case .drGRPO: 4 * longest
                }
            try check(golden, method.loss(longestAnswer: longest), scale: 1 / Double(count), ofAnswers: true)
        }
    }

    @Test func leaveOneOutLossIsTRLs() throws {
        var method = RLOO()
        (method.epsilon, method.epsilonHigh) = (0.2, 0.28)
        try check(#require(golden["rloo"]?.array?.first), method.loss(longestAnswer: 9), scale: 1 / 4, ofAnswers: true)
    }

    @Test func onlinePreferenceLossesAreTRLs() throws {
        let scores = (golden["given"]?["scores"]?.array ?? []).compactMap(\.number)
        let answers = zip(zip(column("new"), scores), self.answers(ofAnswers: true)).map { given, judged in
            var judged = judged
            judged.score = given.1
            return CurrentAnswer(policy: given.0, judged: judged)
        }
        for golden in try #require(golden["online_dpo"]?.array) {
            var method = OnlineDPO()
            let settings = try #require(golden["settings"])
            method.kl.coefficient = try #require(settings["beta"]?.number)
            method.lossType = try #require(settings["loss_type"]?.string.flatMap(OnlinePairLoss.LossType.init))
            let loss = method.loss(longestAnswer: 9)
            // Answers of the first half and of the second are pairs.
            let pairs = (0..<2).map { loss([answers[$0], answers[$0 + 2]], scale: 0.5) }
            try check(golden, pairs.map { $0[0] } + pairs.map { $0[1] }, ofAnswers: true)
        }
    }

    @Test func proximalLossIsTheOneWrittenOut() throws {
        let tokens = column("old").reduce(0) { $0 + $1.count }
        for golden in try #require(golden["ppo"]?.array) {
            var method = PPO()
            method.klPlace = .loss
            method.klEstimator = .k3
            method.kl.coefficient = try #require(golden["settings"]?["kl_coef"]?.number)
            try check(golden, method.loss(longestAnswer: 9), scale: 1 / Double(tokens), ofAnswers: false)
        }
    }
}
