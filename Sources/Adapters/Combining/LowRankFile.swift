import Files
import Tensors

/// The factors of one layer in an adapter's file: its update is `scale · B A`.
struct LowRankFactors {
    /// `[r, in]`.
    let a: Tensor
    /// `[out, r]`.
    let b: Tensor
    let scale: Double

    var rank: Int { a.rows }
}

/// A LoRA adapter's folder read without a model: all of its tensors are factors, or it is refused.
struct LowRankFile {
    let folder: AdapterFolder
    let configuration: LoRAConfiguration
    /// By the layer's path, with what follows the path in the tensors' names.
    let layers: [LayerKey: LowRankFactors]

    /// A layer, and whether its factors are those of an embedding.
    struct LayerKey: Hashable, Comparable {
        let path: String
        let isEmbedding: Bool

        /// The names of A and B in the file.
        var nameOfA: String { adapterKey(path, isEmbedding ? "lora_embedding_A" : "lora_A.weight") }
        var nameOfB: String { adapterKey(path, isEmbedding ? "lora_embedding_B" : "lora_B.weight") }

        static func < (x: LayerKey, y: LayerKey) -> Bool { x.path < y.path }
    }

    init(_ path: String) throws {
        folder = try AdapterFolder(path)
        let method = type(of: folder.configuration).type
        guard let lora = folder.configuration as? LoRAConfiguration else {
            throw InputError("is \(method): only LoRA adapters are combined", file: path)
        }
        guard !lora.useDoRA else {
            throw InputError(
                "is a DoRA adapter, which is no sum: its magnitudes scale the whole weight", file: path,
                hint: "Merge it into the model instead")
        }
        guard lora.isPairsAlone else {
            throw InputError(
                "trains more than the factors A and B: biases, whole modules, rows of tokens, or a start that is taken off the base",
                file: path, hint: "Such adapters can be merged into the model, but not combined")
        }
        configuration = lora
        let keys = Self.keys(folder.weights.names)
        let known = Set(keys.flatMap { [$0.nameOfA, $0.nameOfB] })
        let others = folder.weights.names.filter { !known.contains($0) }
        guard others.isEmpty else {
            throw InputError(
                "holds tensors that cannot be combined: \(others.prefix(4).joined(separator: ", "))"
                    + (others.count > 4 ? ", …" : ""),
                file: folder.weights.path, hint: "Only the factors A and B of LoRA are combined")
        }
        guard !keys.isEmpty else { throw InputError("holds no factors of LoRA", file: folder.weights.path) }
        let paths = keys.map(\.path)
        let ranks = try lora.rankPattern.values(for: paths, key: "rank_pattern", strict: false)
        let alphas = try lora.alphaPattern.values(for: paths, key: "alpha_pattern", strict: false)
        var layers: [LayerKey: LowRankFactors] = [:]
        for key in keys {
            let rank = ranks[key.path] ?? lora.r
            let alpha = alphas[key.path] ?? lora.loraAlpha
            let scale = lora.useRSLoRA ? alpha / Double(rank).squareRoot() : alpha / Double(rank)
            layers[key] = try Self.factors(key, rank: rank, scale: scale, folder)
        }
        self.layers = layers
    }

    /// The highest rank that the settings name: PEFT's measure.
    var rank: Int { max(configuration.r, configuration.rankPattern.rows.map(\.value).max() ?? 0) }

    private static func keys(_ names: [String]) -> [LayerKey] {
        let (present, prefix) = (Set(names), "base_model.model.")
        return names.compactMap { name -> LayerKey? in
            for (end, isEmbedding) in [(".lora_A.weight", false), (".lora_embedding_A", true)] {
                guard name.hasPrefix(prefix), name.hasSuffix(end) else { continue }
                let path = name.dropFirst(prefix.count).dropLast(end.count)
                let key = LayerKey(path: String(path), isEmbedding: isEmbedding)
                return present.contains(key.nameOfB) ? key : nil
            }
            return nil
        }.sorted()
    }

    private static func factors(
        _ key: LayerKey, rank: Int, scale: Double, _ folder: AdapterFolder
    ) throws -> LowRankFactors {
        func read(_ name: String) throws -> Tensor {
            let shape = folder.weights.entries[name]?.shape ?? []
            guard shape.count == 2, shape[0] > 0, shape[1] > 0 else {
                throw InputError("\(name) has shape \(shape), which is no matrix", file: folder.weights.path)
            }
            let tensor = try Tensor(shape: shape) {
                try folder.weights.readFloats(name, into: $0)
            }
            guard tensor.values.allSatisfy(\.isFinite) else {
                throw InputError("\(name) holds numbers that are not finite", file: folder.weights.path)
            }
            return tensor
        }
        let (a, b) = (try read(key.nameOfA), try read(key.nameOfB))
        guard a.rows == rank, b.columns == rank else {
            throw InputError(
                "\(key.path): A is \(a.shape) and B \(b.shape), but the settings say rank \(rank)",
                file: folder.weights.path)
        }
        return LowRankFactors(a: a, b: b, scale: scale)
    }
}
