import Adapters
import Files
import Layers
import Models
import Tensors
import TestSupport
import Testing

/// Adapters combined as PEFT's `add_weighted_adapter` combines them: `Tests/Fixtures/combinations`.
@Suite("Combined adapters") struct CombinationTests {
    private static func input(_ name: String) -> String { Locations.fixture("combinations/\(name)") }

    /// The tensors of a combination, without their prefix.
    private func combined(_ names: [String], _ combination: Combination) throws -> [String: Tensor] {
        let folder = try TemporaryFolder()
        try CombinedAdapter(names.map(Self.input), by: combination).write(to: folder.path)
        return try tensors(folder.path)
    }

    private func tensors(_ folder: String) throws -> [String: Tensor] {
        let file = try SafetensorsFile(folder + "/adapter_model.safetensors")
        let pairs = try file.names.map { name in
            (
                String(name.dropFirst("base_model.model.".count)),
                Tensor(try file.floats(name), shape: try file.entry(name).shape)
            )
        }
        return Dictionary(uniqueKeysWithValues: pairs)
    }

    /// `scale · B A` of every layer that an adapter has.
    private func updates(_ name: String) throws -> [String: Tensor] {
        let model = try tinyModel()
        try attach(AdapterFolder(Self.input(name)), to: model, isTrainable: false)
        let pairs = model.modules().compactMap { path, module -> (String, Tensor)? in
            guard let adapter = (module as? Linear)?.adapter("default") as? LoRAAdapter else { return nil }
            return (path, matrixProduct(adapter.b.value, adapter.a.value).scaled(by: adapter.scale))
        }
        return Dictionary(uniqueKeysWithValues: pairs)
    }

    @Test("every type gives PEFT's result", arguments: 0..<15)
    func golden(_ number: Int) throws {
        let cases = try JSON(contentsOf: Self.input("golden.json"))["cases"]?.array ?? []
        #expect(cases.count == 15)
        let item = cases[number]
        let names = (item["inputs"]?.array ?? []).compactMap(\.string)
        let combination = Combination(
            try #require(CombinationType(rawValue: item["type"]?.string ?? "")),
            weights: (item["weights"]?.array ?? []).compactMap(\.number), density: item["density"]?.number,
            majoritySign: MajoritySign(rawValue: item["majority_sign_method"]?.string ?? "total") ?? .total,
            svdRank: item["svd_rank"]?.integer)
        let found = try combined(names, combination)
        let golden = try SafetensorsFile(Self.input("golden.safetensors"))
        let expected = golden.names.filter { $0.hasPrefix("\(number).") }
        #expect(!expected.isEmpty)
        #expect(found.count == expected.count * (combination.type.isSVD ? 2 : 1))
        for name in expected {
            let parts = name.dropFirst("\(number).".count)
            let path = parts.prefix(upTo: parts.lastIndex(of: ".") ?? parts.endIndex)
            let values: [Float]
            if combination.type.isSVD {
                let (a, b) = (
                    try #require(found["\(path).lora_A.weight"]), try #require(found["\(path).lora_B.weight"])
                )
                values = matrixProduct(b, a).values
            } else {
                let factor = parts.hasSuffix(".A") ? "lora_A" : "lora_B"
                values = try #require(found["\(path).\(factor).weight"]).values
            }
            let tolerance = combination.type.isSVD ? 2e-6 : 1e-7
            #expect(
                distance(values, try golden.floats(name), relative: 1e-5, absolute: tolerance) <= 1, "\(name)")
        }
    }

    @Test("factors are clamped as PEFT clamps the same ones", arguments: [0.95, 0.7])
    func clamp(_ quantile: Double) throws {
        let golden = try SafetensorsFile(Self.input("clamped.safetensors"))
        func tensor(_ name: String) throws -> Tensor {
            Tensor(try golden.floats(name), shape: try golden.entry(name).shape)
        }
        let (a, b) = try clampedFactors(tensor("whole.A"), tensor("whole.B"), at: quantile)
        for (name, found) in [("A", a), ("B", b)] {
            let expected = try golden.floats("\(quantile).\(name)")
            #expect(distance(found.values, expected, relative: 1e-6, absolute: 1e-8) <= 1)
        }
        #expect(try a.values != tensor("whole.A").values)

        // In a combination it is this that is done.
        let found = try combined(["a", "b"], Combination(.svd, weights: [0.7, 0.3], svdClamp: quantile))
        let whole = try combined(["a", "b"], Combination(.svd, weights: [0.7, 0.3]))
        for path in whole.keys.filter({ $0.hasSuffix(".lora_A.weight") }).map({ $0.dropLast(".lora_A.weight".count) }) {
            let (a, b) = (try #require(whole["\(path).lora_A.weight"]), try #require(whole["\(path).lora_B.weight"]))
            let clamped = clampedFactors(a, b, at: quantile)
            #expect(found["\(path).lora_A.weight"]?.values == clamped.a.values)
            #expect(found["\(path).lora_B.weight"]?.values == clamped.b.values)
        }
        for wrong in [Combination(.cat, weights: [1], svdClamp: 0.9), Combination(.svd, weights: [1], svdClamp: 1.5)] {
            #expect(throws: InputError.self) { try wrong.validate(adapters: 1) }
        }
    }

    @Test("cat and svd of full rank are the exact sum, also of ranks, layers and scales that differ")
    func exactSum() throws {
        let (weights, names) = ([0.5, -1.5, 2], ["a", "b", "c"])
        let inputs = try names.map(updates)
        var sums: [String: [Float]] = [:]
        for (input, weight) in zip(inputs, weights) {
            for (path, update) in input {
                let part = update.values.map { $0 * Float(weight) }
                sums[path] = sums[path].map { zip($0, part).map { $0 + $1 } } ?? part
            }
        }
        for type in [CombinationType.cat, .svd] {
            let rank = type == .svd ? 11 : nil
            let found = try combined(names, Combination(type, weights: weights, svdRank: rank))
            #expect(found.count == 2 * sums.count)
            for (path, sum) in sums {
                let (a, b) = (
                    try #require(found["\(path).lora_A.weight"]), try #require(found["\(path).lora_B.weight"])
                )
                #expect(a.rows == 11 && b.columns == 11)
                #expect(distance(matrixProduct(b, a).values, sum, relative: 1e-5, absolute: 2e-6) <= 1, "\(path)")
            }
        }
    }

    @Test("the result is an adapter like any other, whose scale is one, and says where it comes from")
    func folder() throws {
        let output = try TemporaryFolder()
        // Rank-stabilised first: PEFT would keep that, and enlarge the result by the root of the rank.
        let combined = try CombinedAdapter(
            [Self.input("c"), Self.input("a")], by: Combination(.cat, weights: [1, 1]))
        #expect(combined.rank == 7 && combined.layers == 3 && combined.notes.count == 1)
        try combined.write(to: output.path)
        let folder = try AdapterFolder(output.path)
        let settings = try #require(folder.configuration as? LoRAConfiguration)
        #expect(settings.r == 7 && settings.loraAlpha == 7 && !settings.useRSLoRA && folder.notes.isEmpty)
        #expect(folder.metadata[AdapterRecord.combination]?.hasPrefix("cat of") == true)
        let (model, tokens) = (try tinyModel(), MethodTests.tokens)
        for (name, path) in [("a", Self.input("a")), ("c", Self.input("c")), ("both", output.path)] {
            try attach(AdapterFolder(path), to: model, name: name, isTrainable: false)
        }
        let stacked = logProbabilities(model, tokens, adapters: ["a", "c"])
        let both = logProbabilities(model, tokens, adapters: ["both"])
        #expect(distance(both, stacked, relative: 0, absolute: 2e-5) <= 1)
        #expect(distance(both, logProbabilities(model, tokens), relative: 0, absolute: 1e-2) > 1)
    }

    @Test("dare keeps about its share, makes up for the rest, and drops by the seed")
    func dare() throws {
        let full = try combined(["a"], Combination(.dareLinear, weights: [1], density: 1))
        let half = try combined(["a"], Combination(.dareLinear, weights: [1], density: 0.5))
        var (kept, count) = (0, 0)
        for (name, tensor) in full {
            for (x, y) in zip(tensor.values, try #require(half[name]).values) {
                #expect(y == 0 || abs(y - 2 * x) <= 1e-6 * abs(x), "\(name)")
                kept += y == 0 ? 0 : 1
                count += 1
            }
        }
        #expect(abs(Double(kept) / Double(count) - 0.5) < 4 * (0.25 / Double(count)).squareRoot())
        let again = try combined(["a"], Combination(.dareLinear, weights: [1], density: 0.5))
        let other = try combined(["a"], Combination(.dareLinear, weights: [1], density: 0.5, seed: 1))
        #expect(again.allSatisfy { half[$0.key]?.values == $0.value.values })
        #expect(other.contains { half[$0.key]?.values != $0.value.values })
    }

    @Test("what cannot be combined is refused by name")
    func refusals() throws {
        let (a, b, c) = (Self.input("a"), Self.input("b"), Self.input("c"))
        let dora = Locations.fixture("adapters/tiny-llama/dora")
        let ia3 = Locations.fixture("adapters/tiny-llama/ia3")
        let wide = Locations.fixture("adapters/other-hidden-size")
        let cases: [([String], Combination, String)] = [
            ([], Combination(.cat, weights: []), "no adapter"),
            ([a, b], Combination(.cat, weights: [1]), "1 weights for 2 adapters"),
            ([a, b], Combination(.cat, weights: [1, .infinity]), "finite"),
            ([a, b], Combination(.cat, weights: [1, 1e308]), "its weights are too large"),
            ([a, c], Combination(.linear, weights: [1, 1]), "has rank 3"),
            ([a, c], Combination(.ties, weights: [1, 1], density: 0.5), "has rank 3"),
            ([a, b], Combination(.ties, weights: [1, 1]), "needs a `density`"),
            ([a, b], Combination(.ties, weights: [1, 1], density: 0), "above 0"),
            ([a, b], Combination(.dareLinear, weights: [1, 1], density: 1.5), "at most 1"),
            ([a, b], Combination(.cat, weights: [1, 1], density: 0.5), "no meaning"),
            ([a, b], Combination(.cat, weights: [1, 1], svdRank: 2), "no meaning"),
            ([a, b], Combination(.svd, weights: [1, 1], svdRank: 0), "whole number"),
            ([a, dora], Combination(.cat, weights: [1, 1]), "DoRA"),
            ([a, Locations.fixture("adapters/tiny-llama/bias-all")], Combination(.cat, weights: [1, 1]), "biases"),
            (
                [a, Locations.fixture("adapters/tiny-llama/embedding")], Combination(.cat, weights: [1, 1]),
                "base_layer"
            ),
            ([a, ia3], Combination(.cat, weights: [1, 1]), "is ia3"),
            ([a, wide], Combination(.cat, weights: [1, 1]), "different models"),
            ([a, a + "-not"], Combination(.cat, weights: [1, 1]), "no such folder"),
        ]
        for (folders, combination, words) in cases {
            let error = #expect(throws: InputError.self) { try CombinedAdapter(folders, by: combination) }
            #expect(error.map { "\($0)".contains(words) } == true, "\(words): \(error.map { "\($0)" } ?? "")")
        }
    }

    @Test("adapters of bases that differ are refused, and what all agree on is recorded")
    func bases() throws {
        let folder = try TemporaryFolder()
        func adapter(_ name: String, hash: String) throws -> String {
            let model = try tinyModel()
            var lora = LoRAConfiguration()
            lora.initialization = .random
            try attach(lora, to: model, seed: 1)
            let record = AdapterRecord(
                baseModel: "m", metadata: [AdapterRecord.baseHash: hash, AdapterRecord.baseStorage: "nf4"])
            try writeAdapter(lora, of: model, to: folder.file(name), record: record)
            return folder.file(name)
        }
        let (first, second, other) = (
            try adapter("1", hash: "x"), try adapter("2", hash: "x"), try adapter("3", hash: "y")
        )
        let error = #expect(throws: InputError.self) {
            try CombinedAdapter([first, other], by: Combination(.cat, weights: [1, 1]))
        }
        #expect(error.map { "\($0)".contains("another base") } == true)
        try CombinedAdapter([first, second], by: Combination(.cat, weights: [1, 1])).write(to: folder.file("both"))
        let metadata = try AdapterFolder(folder.file("both")).metadata
        #expect(metadata[AdapterRecord.baseHash] == "x" && metadata[AdapterRecord.baseStorage] == "nf4")
    }
}
