import Foundation
import Models
import Tensors
import Testing

/// The sampler against the same rules written plainly: sort everything, cut, draw.
@Suite("Sampler") struct SamplerTests {
    static let options: [SamplingOptions] = [0.0, 0.3, 1, 5].flatMap { temperature in
        [nil, 1, 7, 5000].flatMap { topK in
            [1, 0.9, 0.2].flatMap { topP in
                [0, 0.1, 1].flatMap { minP in
                    [1, 1.4].map {
                        SamplingOptions(
                            temperature: temperature, topK: topK, topP: topP, minP: minP, repetitionPenalty: $0,
                            seed: 3)
                    }
                }
            }
        }
    }

    /// Rows of logits: spread, flat, with many equal ones, with one that towers.
    private static let logits: [[Float]] = {
        var generator = RandomGenerator(RandomKey(seed: 1, purpose: "logits"))
        let spread = (0..<2000).map { _ in Float(generator.normal() * 3) }
        let flat = (0..<2000).map { _ in Float(generator.normal() * 0.01) }
        let equal = (0..<700).map { _ in Float(Int(generator.uniform() * 5)) }
        var towering = spread
        towering[77] = 40
        return [spread, flat, equal, towering]
    }()

    @Test("chooses what sorting would choose", arguments: options)
    func reference(_ options: SamplingOptions) throws {
        let sampler = Sampler(options)
        let (seen, forbidden): (Set<Int32>, Set<Int32>) = ([3, 77, 500], [5])
        for (number, row) in Self.logits.enumerated() {
            let logits = Tensor(row, shape: [1, row.count])
            for position in 0..<12 {
                let place = Sampler.Place(prompt: number, sample: 2, position: position)
                let token = try sampler.token(logits, row: 0, seen: seen, forbidden: forbidden, at: place)
                #expect(token == plain(options, row, seen, forbidden, place), "row \(number), position \(position)")
            }
            #expect(logits.values == row, "the logits stay")
        }
    }

    private func plain(
        _ options: SamplingOptions, _ row: [Float], _ seen: Set<Int32>, _ forbidden: Set<Int32>, _ place: Sampler.Place
    ) -> Int32 {
        var scores = row
        for token in seen.map({ Int($0) }) {
            let penalty = Float(options.repetitionPenalty)
            scores[token] = scores[token] > 0 ? scores[token] / penalty : scores[token] * penalty
        }
        for token in forbidden { scores[Int(token)] = -.infinity }
        let top = scores.max() ?? 0
        if options.temperature == 0 { return Int32(scores.firstIndex(of: top) ?? 0) }
        let all = scores.indices.map { token in
            (token: token, probability: exp(Double((scores[token] - top) * Float(1 / options.temperature))))
        }
        var kept = all.sorted { ($1.probability, $0.token) < ($0.probability, $1.token) }
        if let topK = options.topK { kept = Array(kept.prefix(topK)) }
        if options.topP < 1 {
            let limit = options.topP * kept.reduce(0) { $0 + $1.probability }
            var sum = 0.0
            let count = kept.firstIndex { candidate in
                sum += candidate.probability
                return sum >= limit
            }
            kept = Array(kept.prefix((count ?? kept.count - 1) + 1))
        }
        kept = kept.filter { $0.probability >= options.minP }.sorted { $0.token < $1.token }
        let key = RandomKey(seed: options.seed, purpose: "sampling")
        var rest = key.uniform(place.prompt, place.sample, place.position) * kept.reduce(0) { $0 + $1.probability }
        for candidate in kept {
            rest -= candidate.probability
            if rest < 0 { return Int32(candidate.token) }
        }
        return Int32(kept.last?.token ?? 0)
    }

    @Test("draws each token as often as it is probable")
    func frequencies() throws {
        let logits = Tensor([0.5, 1.5, -1, 0].map { Float($0) }, shape: [1, 4])
        let sampler = Sampler(SamplingOptions(temperature: 1))
        var counts = [Int](repeating: 0, count: 4)
        let draws = 20_000
        for position in 0..<draws {
            counts[Int(try sampler.token(logits, row: 0, at: .init(prompt: 0, sample: 0, position: position)))] += 1
        }
        let weights = [0.5, 1.5, -1, 0].map { exp($0) }
        for (count, weight) in zip(counts, weights) {
            let expected = weight / weights.reduce(0, +)
            let deviation = (expected * (1 - expected) / Double(draws)).squareRoot()
            #expect(abs(Double(count) / Double(draws) - expected) < 4 * deviation)
        }
    }
}
