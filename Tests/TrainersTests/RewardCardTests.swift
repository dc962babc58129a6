import Files
import TestSupport
import Testing
import Trainers

/// The card of a reward model, against the same figures by numpy.
@Suite("Reward cards") struct RewardCardTests {
    static let judged: [JudgedPair] = {
        let chosen = [1.2, 0.3, -0.5, 2.0, 0.1, 0.8, 0.8, -1.0]
        let rejected = [0.2, 0.9, -0.5, -1.0, 0.0, 0.7, 1.9, -3.0]
        let lengths = [(10, 12), (20, 10), (30, 30), (5, 25), (8, 9), (12, 12), (40, 44), (7, 3)]
        return chosen.indices.map {
            JudgedPair(
                chosen: chosen[$0], rejected: rejected[$0], lengths: (lengths[$0].0, lengths[$0].1),
                isSameSwapped: $0 != 3)
        }
    }()

    @Test("accuracy with its interval, margin, calibration, lengths, swapped pairs")
    func figures() {
        let card = RewardCard(Self.judged)
        func close(_ actual: Double, _ expected: Double, _ name: String) {
            #expect(isClose(actual, expected, relative: 1e-12), "\(name)")
        }
        #expect(card.pairs == 8 && card.accuracy == 0.625 && card.swappedAgreement == 0.875)
        close(card.accuracyInterval.lowerBound, 0.30574239460262737, "interval")
        close(card.accuracyInterval.upperBound, 0.8631557141764026, "interval")
        close(card.margin, 0.5625, "margin")
        close(card.marginStandardError, 0.48289953850227924, "margin's error")
        #expect(card.reliability.map(\.pairs) == [3, 1, 1, 1, 1, 1])
        #expect(card.reliability.map(\.range.lowerBound) == [0.5, 0.6, 0.7, 0.75, 0.85, 0.95])
        close(card.reliability[0].confidence, 0.5166527916526267, "confidence")
        close(card.reliability[0].accuracy, 2.0 / 3, "accuracy of a bin")
        close(card.calibrationError, 0.2851910316790891, "calibration")
        close(card.lengthPearson, 0.22392474589854602, "Pearson")
        close(card.lengthSpearman, 0.1376761351453193, "Spearman")
        close(card.marginLengthPearson, -0.589535740869297, "margin and length")
        #expect(card.longerChosen == 0.25 && card.longerPreferred == 0.25)
    }

    @Test("a single pair, and rewards without a difference")
    func degenerate() {
        let one = RewardCard([JudgedPair(chosen: 60, rejected: -60, lengths: (3, 4))])
        #expect(one.accuracy == 1 && one.reliability.count == 1 && one.json["margin_standard_error"] == nil)
        #expect(one.accuracyInterval.upperBound == 1)
        let same = RewardCard(Array(repeating: JudgedPair(chosen: 1, rejected: 1, lengths: (3, 3)), count: 4))
        #expect(
            same.accuracy == 0 && same.lengthPearson == 0 && same.json["swapped_agreement"] == nil
                && same.calibrationError == 0.5)
    }
}
