import Files
import Layers
import Tensors

extension LoRAConfiguration {
    /// The modules that get a pair.
    struct Targets {
        /// Their paths, in the model's order.
        var paths: [String]
        /// An embedding and its head that share one pair.
        var tie: (embedding: String, head: String)?
    }

    /// Linear layers and embeddings that are named and not trained in full.
    func targets(in modules: AdaptableModules, strict: Bool) throws -> Targets {
        let whole = Set(try modules.trainedInFull(modulesToSave, strict: strict).map(\.path))
        let adaptable = modules.linears.map(\.path) + modules.embeddings.map(\.path)
        let named = try target.paths(in: modules, among: Set(adaptable), strict: strict).filter { !whole.contains($0) }
        guard ensuresWeightTying, let tie = modules.tie, named.contains(tie.embedding) || named.contains(tie.head)
        else {
            return Targets(paths: named)
        }
        let all = Set(named).union([tie.embedding, tie.head])
        return Targets(paths: modules.paths.filter(all.contains), tie: tie)
    }

    /// Pairs, biases, modules trained in full and rows of tokens.
    public func plan(for modules: AdaptableModules, strict: Bool) throws -> [AdapterPlan] {
        let targets = try targets(in: modules, strict: strict)
        var plans = try LoRAPairs(self, targets, strict: strict).plans(modules)
        let whole = try modules.trainedInFull(modulesToSave, strict: strict)
        plans += wholePlans(whole, modules)
        if bias == .all {
            let others = modules.linears.filter { layer in !plans.contains { $0.path == layer.path } }
            plans += others.compactMap { path, layer in layer.bias.map { biasPlan(path, $0) } }
        }
        if let trainableTokens { plans += try trainableTokens.plans(modules) }
        try check(plans, modules, strict: strict)
        return plans
    }

    private func check(_ plans: [AdapterPlan], _ modules: AdaptableModules, strict: Bool) throws {
        var seen: Set<String> = []
        if let twice = plans.first(where: { !seen.insert($0.path).inserted }) {
            throw InputError(
                "\(twice.path) is trained twice: by two of `target_modules`, `modules_to_save` and `trainable_token_indices`",
                hint: "A head that shares the embedding's weight is trained with the embedding's tokens")
        }
        guard strict, ensuresWeightTying else { return }
        guard let tie = modules.tie else {
            throw InputError("`ensure_weight_tying`: the model's head has a weight of its own")
        }
        guard seen.contains(tie.embedding) else {
            throw InputError("`ensure_weight_tying`: neither the embedding nor the head is trained")
        }
    }

    private func wholePlans(_ whole: [AdaptableModules.Weighted], _ modules: AdaptableModules) -> [AdapterPlan] {
        let paths = Set(whole.map(\.path))
        let tie =
            ensuresWeightTying
            ? modules.tie.flatMap { paths.isDisjoint(with: [$0.embedding, $0.head]) ? nil : $0 } : nil
        let apart = whole.filter { $0.path != tie?.embedding && $0.path != tie?.head }
        let plans = apart.map(AdapterPlan.init(inFull:))
        guard let tie, let table = modules.embeddings.first(where: { $0.path == tie.embedding })?.table.weight else {
            return plans
        }
        // Made once, by whichever comes first: the embedding.
        let shared = Shared { table.trainableCopy }
        let shapes = [(name: "weight", shape: table.value.shape)]
        return plans + [
            AdapterPlan(path: tie.embedding, shapes: shapes) { _ in TrainedLayer(weight: shared.value, bias: nil) },
            AdapterPlan(path: tie.head, shapes: shapes) { _ in TiedTrainedHead(shared.value) },
        ]
    }

    private func biasPlan(_ path: String, _ bias: Parameter) -> AdapterPlan {
        AdapterPlan(path: path, shapes: [("bias", bias.value.shape)]) { _ in
            TrainedLayer(weight: nil, bias: bias.trainableCopy)
        }
    }
}

/// Something that several plans make together, once.
private final class Shared<Value> {
    private let make: () -> Value
    private(set) lazy var value = make()

    init(_ make: @escaping () -> Value) { self.make = make }
}

/// The low-rank pairs of a configuration.
private struct LoRAPairs {
    private let configuration: LoRAConfiguration
    private let targets: LoRAConfiguration.Targets
    private let strict: Bool
    private let ranks: [String: Int]
    private let alphas: [String: Double]

    init(_ configuration: LoRAConfiguration, _ targets: LoRAConfiguration.Targets, strict: Bool) throws {
        self.configuration = configuration
        self.targets = targets
        self.strict = strict
        ranks = try configuration.rankPattern.values(for: targets.paths, key: "rank_pattern", strict: strict)
        alphas = try configuration.alphaPattern.values(for: targets.paths, key: "alpha_pattern", strict: strict)
    }

    func plans(_ modules: AdaptableModules) throws -> [AdapterPlan] {
        let wanted = Set(targets.paths)
        return try modules.adaptable.flatMap { path, module -> [AdapterPlan] in
            guard wanted.contains(path) else { return [] }
            switch module {
            case let layer as Linear where path != targets.tie?.head: return [try linearPlan(path, layer)]
            case let table as Embedding: return try embeddingPlans(path, table)
            default: return []
            }
        }
    }

    private func numbers(_ path: String) -> (rank: Int, scale: Float) {
        let rank = ranks[path] ?? configuration.r
        return (rank, configuration.scale(rank: rank, alpha: alphas[path] ?? configuration.loraAlpha))
    }

    private func linearPlan(_ path: String, _ layer: Linear) throws -> AdapterPlan {
        let isHead = AdaptableModules.heads.contains(path)
        let (rank, scale) = numbers(path)
        let (inputs, outputs) = (layer.inputSize, layer.outputSize)
        let isDecomposition = configuration.initialization.isDecomposition
        guard !isDecomposition || rank <= min(inputs, outputs) else {
            throw InputError(
                "`init_lora_weights`: \(path) is [\(outputs), \(inputs)], which has no decomposition of rank \(rank)")
        }
        let saved = isDecomposition && strict ? 2 * rank : rank
        var shapes: [(name: String, shape: [Int])] = [
            ("lora_A.weight", [saved, inputs]), ("lora_B.weight", [outputs, saved]),
        ]
        let bias = configuration.bias == .none ? nil : layer.bias
        if let bias { shapes.append(("base_layer.bias", bias.value.shape)) }
        if configuration.useDoRA { shapes.append(("lora_magnitude_vector", [outputs])) }
        return AdapterPlan(path: path, shapes: shapes, base: isHead ? layer.weight : nil) { seed in
            let start = LoRAStart(initialization: configuration.initialization, path: path, rank: rank, seed: seed)
            let (a, b) = start.pair(layer.weight.value, scale: scale)
            let pair = LoRAAdapter(
                a: a, b: b, start: isDecomposition ? (a.copied(), b.copied()) : nil, bias: bias?.trainableCopy.value,
                scale: scale, dropout: Float(configuration.loraDropout), path: path)
            return configuration.useDoRA ? DoRAAdapter(pair, on: layer) : pair
        }
    }

    private func embeddingPlans(_ path: String, _ module: Embedding) throws -> [AdapterPlan] {
        let table = module.weight
        if configuration.initialization.isDecomposition {
            throw InputError("`init_lora_weights`: PiSSA and OLoRA of the embedding \(path) are not supported")
        }
        let (rank, scale) = numbers(path)
        let (vocabulary, size) = (table.value.rows, table.value.columns)
        let dropout = Float(configuration.loraDropout)
        var seedOfAll: UInt64 = 0
        let shared = Shared {
            let start = LoRAStart(
                initialization: configuration.initialization, path: path, rank: rank, seed: seedOfAll)
            let (a, b) = start.embeddingPair(vocabulary: vocabulary, size: size)
            return LoRAEmbedding(a: a, b: b, scale: scale)
        }
        var shapes = [
            (name: "lora_embedding_A", shape: [rank, vocabulary]), (name: "lora_embedding_B", shape: [size, rank]),
        ]
        if configuration.useDoRA { shapes.append((name: "lora_magnitude_vector", shape: [size])) }
        let plan = AdapterPlan(path: path, shapes: shapes, base: table) { seed in
            seedOfAll = seed
            return configuration.useDoRA ? DoRAEmbedding(shared.value, on: module) : shared.value
        }
        guard let head = targets.tie?.head else { return [plan] }
        let turned = [
            (name: "lora_A.weight", shape: [rank, size]), (name: "lora_B.weight", shape: [vocabulary, rank]),
        ]
        return [
            plan,
            AdapterPlan(path: head, shapes: turned, base: table) { _ in
                TiedLoRAHead(shared.value, dropout: dropout, path: head)
            },
        ]
    }
}

extension TrainableTokens {
    /// The rows of each table; those of an embedding are its head's too where they share a weight and nothing else is asked.
    fileprivate func plans(_ modules: AdaptableModules) throws -> [AdapterPlan] {
        let asked = try tables(modules)
        let heads = modules.linears.filter { asked[$0.path] != nil }
        var plans: [AdapterPlan] = []
        for (path, table) in modules.embeddings {
            guard let tokens = asked[path] else { continue }
            let shared = Shared { TokenRows(tokens, of: table.weight) }
            plans.append(plan(path, tokens, table.weight) { shared.value })
            guard let head = modules.tie?.head, (asked[head] ?? tokens) == tokens else { continue }
            plans.append(
                AdapterPlan(path: head, shapes: []) { _ in TiedTokenRowsHead(shared.value, head: table.weight) })
        }
        for (path, layer) in heads where !plans.contains(where: { $0.path == path }) {
            guard let tokens = asked[path] else { continue }
            plans.append(plan(path, tokens, layer.weight) { TokenRowsHead(tokens, of: layer.weight) })
        }
        return plans
    }

    private func plan(
        _ path: String, _ tokens: [Int32], _ table: Parameter, _ make: @escaping () -> any Adapter
    ) -> AdapterPlan {
        AdapterPlan(path: path, shapes: [(TokenRows.name, [tokens.count, table.value.columns])]) { _ in make() }
    }

    /// The tokens of each table by path.
    private func tables(_ modules: AdaptableModules) throws -> [String: [Int32]] {
        let sizes =
            modules.embeddings.map { ($0.path, $0.table.weight.value.rows) }
            + modules.linears.filter { AdaptableModules.heads.contains($0.path) }.map { ($0.path, $0.layer.outputSize) }
        var result: [String: [Int32]] = [:]
        let named: [(String, [Int])] =
            switch self {
            case .embedding(let ids): modules.embeddings.prefix(1).map { ($0.path, ids) }
            case .tables(let tables): tables.sorted { $0.key < $1.key }
            }
        for (name, ids) in named {
            guard let (path, size) = sizes.first(where: { isNamed($0.0, name) }) else {
                throw InputError(
                    "`trainable_token_indices`: \(name) is no table of tokens",
                    hint: "Those are \(sizes.map(\.0).joined(separator: ", "))")
            }
            if let other = ids.first(where: { $0 < 0 || $0 >= size }) {
                throw InputError(
                    "`trainable_token_indices`: there is no token \(other): \(path) has \(size)",
                    hint: "`model.add_tokens` makes tokenizer and tables larger")
            }
            guard !ids.isEmpty, Set(ids).count == ids.count else {
                throw InputError("`trainable_token_indices`: \(name) must list tokens, each once")
            }
            result[path] = ids.map { Int32($0) }
        }
        return result
    }
}
