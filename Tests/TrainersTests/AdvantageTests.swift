import Files
import TestSupport
import Testing
import Trainers

/// Definitions written out with NumPy and torch: `Tests/Fixtures/reinforcement`.
@Suite("Advantages and clipped losses") struct AdvantageTests {
    private static let advantages = "reinforcement/advantages.json"
    private static let losses = "reinforcement/losses.json"

    @Test func generalizedAdvantagesAreTheSumOfSurprises() throws {
        for golden in try cases(Self.advantages, "generalized", 5) {
            let result = generalizedAdvantages(
                rewards: numbers(golden["rewards"]), values: numbers(golden["values"]),
                gamma: try #require(golden["gamma"]?.number), lambda: try #require(golden["lambda"]?.number))
            #expect(near(result.advantages, numbers(golden["advantages"])))
            #expect(near(result.returns, numbers(golden["returns"])))
        }
    }

    @Test func whitenedNumbers() throws {
        for golden in try cases(Self.advantages, "whitened", 2) {
            let given = numbers(golden["numbers"])
            #expect(near(whitened(given), numbers(golden["whitened"])))
            #expect(near(whitened(given, keepsMean: true), numbers(golden["with_mean"])))
        }
        #expect(whitened([3]) == [0] && whitened([3], keepsMean: true) == [3] && whitened([]).isEmpty)
    }

    @Test func groupsAreComparedWithThemselves() throws {
        for golden in try cases(Self.advantages, "groups", 3) {
            let (rewards, size) = (numbers(golden["rewards"]), try #require(golden["size"]?.integer))
            for scaling in RewardScaling.allCases {
                #expect(
                    near(
                        groupAdvantages(rewards, size: size, scaling: scaling), numbers(golden[scaling.rawValue])),
                    "\(scaling)")
            }
            #expect(near(leaveOneOutAdvantages(rewards, size: size), numbers(golden["leave_one_out"])))
        }
    }

    @Test func clippedPolicyLossAndItsDerivative() throws {
        let golden = try #require(JSON(contentsOf: Locations.fixture(Self.losses))["policy"])
        let loss = ClippedPolicyLoss(
            low: try #require(golden["low"]?.number), high: try #require(golden["high"]?.number))
        let (new, old) = (numbers(golden["new"]), numbers(golden["old"]))
        let results = zip(zip(new, old), numbers(golden["advantages"])).map {
            loss(logProbability: $0.0, old: $0.1, advantage: $1)
        }
        #expect(near(results.map(\.loss), numbers(golden["losses"])))
        #expect(near(results.map(\.derivative), numbers(golden["derivatives"])))
        #expect(results.contains { $0.isClipped } && results.contains { !$0.isClipped })
        #expect(loss(logProbability: -1.5, old: -1.5, advantage: 2).ratio == 1)
    }

    @Test func clippedValueLossAndItsDerivative() throws {
        let golden = try #require(JSON(contentsOf: Locations.fixture(Self.losses))["value"])
        let loss = ClippedValueLoss(range: try #require(golden["range"]?.number))
        let results = zip(zip(numbers(golden["new"]), numbers(golden["old"])), numbers(golden["targets"])).map {
            loss(value: $0.0, old: $0.1, target: $1)
        }
        #expect(near(results.map(\.loss), numbers(golden["losses"])))
        #expect(near(results.map(\.derivative), numbers(golden["derivatives"])))
        #expect(results.contains { $0.isClipped } && results.contains { !$0.isClipped })
    }

    @Test func estimatesOfTheDivergence() throws {
        let golden = try #require(JSON(contentsOf: Locations.fixture(Self.losses))["kl"])
        for estimator in KLEstimator.allCases {
            let found = zip(numbers(golden["policy"]), numbers(golden["reference"])).map {
                estimator(policy: $0, reference: $1)
            }
            #expect(near(found, numbers(golden[estimator.rawValue])), "\(estimator)")
        }
        #expect(KLEstimator.k3(policy: -2, reference: -2) == 0)
    }

    @Test func theCoefficientFollowsItsTarget() {
        var controller = KLController(coefficient: 0.1, target: 6, horizon: 1000)
        controller.update(kl: 60, answers: 100)  // an error of 9 counts as 0.2
        #expect(abs(controller.coefficient - 0.1 * 1.02) < 1e-15)
        controller.update(kl: 5.7, answers: 100)  // an error of -0.05
        #expect(abs(controller.coefficient - 0.1 * 1.02 * 0.995) < 1e-15)
        var fixed = KLController(coefficient: 0.1)
        fixed.update(kl: 60, answers: 100)
        #expect(fixed.coefficient == 0.1)
    }

    private func cases(_ file: String, _ name: String, _ count: Int) throws -> [JSON] {
        let cases = try JSON(contentsOf: Locations.fixture(file))[name]?.array ?? []
        #expect(cases.count == count)
        return cases
    }

    private func numbers(_ json: JSON?) -> [Double] { json?.array?.compactMap(\.number) ?? [] }

    private func near(_ found: [Double], _ wanted: [Double]) -> Bool {
        !found.isEmpty && isClose(found, wanted, relative: 1e-12, absolute: 1e-12)
    }
}
