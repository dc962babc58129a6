import Files
import Tensors

/// Several LoRA adapters as one, as PEFT's `add_weighted_adapter` makes it.
///
/// A layer that some of them lack is that of the others. The result's alpha is its rank, so its scale is 1, also where the adapters were
/// rank-stabilised: PEFT then keeps `use_rslora`, and so multiplies its result by √r.
public struct CombinedAdapter {
    /// The rank of every layer; where fewer were needed the rest is zeros.
    public let rank: Int
    /// The adapted layers.
    public var layers: Int { tensors.count / 2 }
    private let tensors: [(name: String, value: Tensor)]
    private let inputs: [LowRankFile]
    private let combination: Combination

    /// Reads adapters and combines them.
    ///
    /// - Parameters:
    ///   - folders: the adapters, of one base model.
    ///   - combination: how.
    /// - Throws: ``InputError`` for what cannot be read or combined: other methods, another base, other shapes, ranks that differ where
    ///   A and B are added, a setting without meaning.
    public init(_ folders: [String], by combination: Combination) throws {
        guard !folders.isEmpty else { throw InputError("there is no adapter to combine") }
        try combination.validate(adapters: folders.count)
        let inputs = try folders.map(LowRankFile.init)
        try Self.checkBase(inputs)
        let rank = try Self.rank(inputs, combination)
        let keys = Set(inputs.flatMap(\.layers.keys)).sorted()
        var tensors: [(name: String, value: Tensor)] = []
        for key in keys {
            let present = inputs.indices.compactMap { index in inputs[index].layers[key].map { (index, $0) } }
            try Self.checkShapes(present, key, inputs)
            if !combination.type.isSVD, combination.type != .cat { try Self.checkRanks(present, key, inputs) }
            let layer = CombinedLayer(
                number: present.map(\.0), factors: present.map(\.1), combination: combination, path: key.path)
            let (a, b) = layer.result(rank: rank)
            guard a.values.allSatisfy(\.isFinite), b.values.allSatisfy(\.isFinite) else {
                throw InputError(
                    "\(key.path): the combination has numbers that are not finite: its weights are too large")
            }
            tensors.append((name: key.nameOfA, value: a))
            tensors.append((name: key.nameOfB, value: b))
        }
        self.rank = rank
        self.tensors = tensors.sorted { $0.name < $1.name }
        self.inputs = inputs
        self.combination = combination
    }

    private static func checkBase(_ inputs: [LowRankFile]) throws {
        let hashes = inputs.map { $0.folder.metadata[AdapterRecord.baseHash] }
        guard let first = hashes.firstIndex(where: { $0 != nil }),
            let other = hashes.indices.first(where: { hashes[$0] != nil && hashes[$0] != hashes[first] })
        else { return }
        throw InputError(
            "was trained on another base than \(inputs[first].folder.path): the hashes of their weights differ",
            file: inputs[other].folder.path)
    }

    private static func rank(_ inputs: [LowRankFile], _ combination: Combination) throws -> Int {
        let ranks = inputs.map(\.rank)
        if combination.type == .cat {
            let sum = ranks.reduce(0, +)
            guard LoRAConfiguration.ranks.contains(sum) else {
                throw InputError("the ranks add up to \(sum), more than \(LoRAConfiguration.ranks.upperBound)")
            }
            return sum
        }
        let highest = ranks.max() ?? 1
        return combination.type.isSVD ? combination.svdRank ?? highest : highest
    }

    private static func checkShapes(
        _ layers: [(Int, LowRankFactors)], _ key: LowRankFile.LayerKey, _ inputs: [LowRankFile]
    ) throws {
        guard let (first, reference) = layers.first else { return }
        for (index, layer) in layers.dropFirst() {
            let (file, other) = (inputs[index].folder.weights.path, inputs[first].folder.path)
            let (shape, wanted) = ([layer.b.rows, layer.a.columns], [reference.b.rows, reference.a.columns])
            guard shape == wanted else {
                throw InputError(
                    "\(key.path) is a layer of shape \(shape), in \(other) of \(wanted): they adapt different models",
                    file: file)
            }
        }
    }

    private static func checkRanks(
        _ layers: [(Int, LowRankFactors)], _ key: LowRankFile.LayerKey, _ inputs: [LowRankFile]
    ) throws {
        guard let (first, reference) = layers.first,
            let (index, other) = layers.first(where: { $0.1.rank != reference.rank })
        else { return }
        throw InputError(
            "\(key.path) has rank \(other.rank), in \(inputs[first].folder.path) \(reference.rank): A and B of different "
                + "ranks do not add up",
            file: inputs[index].folder.weights.path, hint: "cat, svd and the _svd types take any ranks")
    }

    /// What a user should hear: layers that not all adapters have.
    public var notes: [String] {
        let all = Set(inputs.flatMap(\.layers.keys))
        let lacking = all.filter { key in inputs.contains { $0.layers[key] == nil } }
        guard !lacking.isEmpty else { return [] }
        return [
            "\(lacking.count) of \(all.count) layers are not adapted by all: the others' updates are taken alone there"
        ]
    }

    /// Saves the result as a folder that PEFT loads.
    ///
    /// - Throws: ``RunError`` where it cannot be written.
    public func write(to path: String) throws {
        var settings = inputs[0].configuration
        (settings.r, settings.loraAlpha, settings.useRSLoRA) = (rank, Double(rank), false)
        (settings.rankPattern, settings.alphaPattern) = (ModuleTable(), ModuleTable())
        settings.initialization = .kaiming
        let paths = Set(inputs.flatMap(\.layers.keys).map(\.path)).sorted()
        let targets = target(paths)
        settings.target = TargetModules(.only(targets))
        try writeAdapterFolder(
            tensors, keys: settings.peftKeys(for: paths, targets), peftType: LoRAConfiguration.peftType, to: path,
            record: record)
    }

    /// Names that fit the layers: those of the adapters where they are plain lists, else every path.
    private func target(_ paths: [String]) -> ModuleNames {
        let lists = inputs.compactMap { input -> [String]? in
            let target = input.configuration.target
            guard case .only(.list(let names)) = target.include, target.exclude == nil, target.layers == nil else {
                return nil
            }
            return names
        }
        return .list(lists.count == inputs.count ? Set(lists.flatMap { $0 }).sorted() : paths)
    }

    private var record: AdapterRecord {
        // What all that say it agree on.
        var metadata: [String: String] = [:]
        for key in [
            AdapterRecord.baseHash, AdapterRecord.baseStorage, AdapterRecord.templateHash, AdapterRecord.version,
        ] {
            let values = Set(inputs.compactMap { $0.folder.metadata[key] })
            if values.count == 1 { metadata[key] = values.first }
        }
        metadata[AdapterRecord.combination] = combination.description(of: inputs.map(\.folder.path))
        let first = inputs[0].folder
        return AdapterRecord(baseModel: first.baseModel, taskType: first.taskType ?? "CAUSAL_LM", metadata: metadata)
    }
}

/// One layer of a combination.
private struct CombinedLayer {
    /// Which adapters have it.
    let number: [Int]
    let factors: [LowRankFactors]
    let combination: Combination
    let path: String

    private var weights: [Double] { number.map { combination.weights[$0] } }

    /// A and B, of the rank given: zeros where fewer are needed.
    func result(rank: Int) -> (a: Tensor, b: Tensor) {
        let (a, b) =
            switch combination.type {
            case .cat: concatenated(scaled: { value, weight, scale in value * Float(weight) * Float(scale) })
            case .svd: decomposedSum(rank: rank)
            case let type where type.isSVD: decomposedUpdate(rank: rank)
            default: sums(rank: rank)
            }
        return (
            padded(a, shape: [rank, a.columns]), padded(b, shape: [b.rows, rank])
        )
    }

    /// A and B apart, each by the root of weight · scale; the sign goes to A.
    private func sums(rank: Int) -> (Tensor, Tensor) {
        let roots = zip(weights, factors).map { abs($0 * $1.scale).squareRoot() }
        let signs = zip(weights, factors).map { $0 * $1.scale >= 0 ? 1.0 : -1 }
        func sum(_ tensors: [Tensor], _ weights: [Double], _ name: String) -> Tensor {
            let arithmetic = TaskArithmetic(combination: combination, purpose: "\(path).\(name)")
            return Tensor(
                arithmetic.sum(tensors.map(\.values), weights: weights.map { Float($0) }, numbers: number),
                shape: tensors[0].shape)
        }
        return (
            sum(factors.map(\.a), zip(roots, signs).map { $0 * $1 }, "lora_A"), sum(factors.map(\.b), roots, "lora_B")
        )
    }

    /// The rows of every A, multiplied by weight and scale, and the columns of every B.
    private func concatenated(scaled: (Float, Double, Double) -> Float) -> (Tensor, Tensor) {
        let rows = zip(factors, weights).flatMap { factors, weight in
            factors.a.values.map { scaled($0, weight, factors.scale) }
        }
        let rank = factors.reduce(0) { $0 + $1.rank }
        let values = factors.map(\.b.values)
        let outputs = factors[0].b.rows
        let columns = (0..<outputs).flatMap { row in
            zip(factors, values).flatMap { $1[row * $0.rank..<(row + 1) * $0.rank] }
        }
        return (Tensor(rows, shape: [rank, factors[0].a.columns]), Tensor(columns, shape: [outputs, rank]))
    }

    /// The sum of the updates at a rank, without forming it.
    private func decomposedSum(rank: Int) -> (Tensor, Tensor) {
        let (a, b) = concatenated { value, _, _ in value }
        let scales = zip(factors, weights).flatMap { factors, weight in
            Array(repeating: factors.scale * weight, count: factors.rank)
        }
        return split(
            SingularValues(ofProduct: ColumnMatrix(b).scalingColumns(by: scales), ColumnMatrix(a), rank: rank))
    }

    /// The combined numbers of whole updates at a rank.
    private func decomposedUpdate(rank: Int) -> (Tensor, Tensor) {
        let updates = factors.map { factors in
            let scale = Float(factors.scale)
            return matrixProduct(factors.b, factors.a).values.map { $0 * scale }
        }
        let arithmetic = TaskArithmetic(combination: combination, purpose: path)
        let sum = Tensor(
            arithmetic.sum(updates, weights: weights.map { Float($0) }, numbers: number),
            shape: [factors[0].b.rows, factors[0].a.columns])
        return split(SingularValues(of: ColumnMatrix(sum), rank: rank))
    }

    /// `A = Vᵀ` and `B = U diag(σ)`, clamped where asked.
    private func split(_ values: SingularValues) -> (Tensor, Tensor) {
        let (a, b) = (values.right.transposedTensor, values.left.scalingColumns(by: values.values).tensor)
        guard let quantile = combination.svdClamp else { return (a, b) }
        return clampedFactors(a, b, at: quantile)
    }

    private func padded(_ tensor: Tensor, shape: [Int]) -> Tensor {
        guard tensor.shape != shape else { return tensor }
        let (rows, columns) = (tensor.rows, tensor.columns)
        let values = tensor.values
        var result = Array(repeating: Float(0), count: shape[0] * shape[1])
        for row in 0..<rows {
            result.replaceSubrange(
                row * shape[1]..<row * shape[1] + columns, with: values[row * columns..<(row + 1) * columns])
        }
        return Tensor(result, shape: shape)
    }
}

/// A and B with every number held within ± a quantile of the numbers of both: PEFT's `svd_clamp`.
///
/// The quantile is of the numbers with their signs, between two of them in proportion. The signs of singular vectors are arbitrary, and
/// another program's clamp with other signs is another one.
package func clampedFactors(_ a: Tensor, _ b: Tensor, at quantile: Double) -> (a: Tensor, b: Tensor) {
    let sorted = (b.values + a.values).sorted()
    let place = quantile * Double(sorted.count - 1)
    let lower = Int(place)
    let (low, high) = (Double(sorted[lower]), Double(sorted[min(lower + 1, sorted.count - 1)]))
    let limit = Float(low + (high - low) * (place - Double(lower)))
    func clamped(_ tensor: Tensor) -> Tensor {
        Tensor(tensor.values.map { min(limit, max(-limit, $0)) }, shape: tensor.shape)
    }
    return (clamped(a), clamped(b))
}
