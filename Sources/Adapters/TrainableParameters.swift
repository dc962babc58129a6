import Files
import Layers

/// Which weights of a model are trained where the rest is frozen: partly frozen full fine-tuning.
public struct TrainableParameters: Hashable, Sendable {
    /// Regular expressions: a parameter is trained whose whole path one of them matches, such as `.*norm\.weight`.
    public var patterns: [String]
    /// So many decoder layers, counted from the last, are trained whole.
    public var topLayers: Int

    /// Makes a selection.
    public init(patterns: [String] = [], topLayers: Int = 0) {
        self.patterns = patterns
        self.topLayers = topLayers
    }

    /// A test of parameters' paths.
    ///
    /// - Throws: `InputError` where a pattern is not valid.
    public func selector() throws -> Selector { try Selector(self) }

    /// Makes the chosen parameters of a model trainable, and no other.
    ///
    /// - Parameters:
    ///   - model: whose parameters they are.
    ///   - layers: the number of its decoder layers.
    /// - Throws: `InputError` where a pattern fits no parameter, or the model has fewer layers.
    public func apply(to model: any Module, layers: Int) throws {
        guard topLayers <= layers else {
            throw InputError("`training.trainable_top_layers` is \(topLayers), but the model has \(layers) layers")
        }
        let selector = try selector()
        let parameters = model.parameters()
        let chosen = try parameters.filter { try selector.selects($0.path, layers: layers) }
        if let idle = try selector.firstIdle(among: parameters.map(\.path)) {
            throw idleFault(idle, parameters.map(\.path))
        }
        model.setTrainable(false)
        for (_, parameter) in chosen { parameter.isTrainable = true }
    }

    private func idleFault(_ pattern: String, _ paths: [String]) -> InputError {
        let isTied = pattern.contains("lm_head") && !paths.contains("lm_head.weight")
        let known = paths.first.map { " such as \($0)" } ?? ""
        return InputError(
            "`training.trainable`: \"\(pattern)\" matches no parameter of the model",
            hint: isTied
                ? "The head of this model is the embedding: model.embed_tokens.weight"
                : "It must match a whole path,\(known)")
    }

    /// A selection with its patterns compiled.
    public struct Selector {
        private let selection: TrainableParameters
        private let patterns: [RegularExpression]

        fileprivate init(_ selection: TrainableParameters) throws {
            self.selection = selection
            patterns = try selection.patterns.map { try RegularExpression($0, key: "training.trainable") }
        }

        /// Whether a parameter is trained in a model of so many decoder layers.
        public func selects(_ path: String, layers: Int) throws -> Bool {
            if try patterns.contains(where: { try $0.matchesAll(of: path) }) { return true }
            let parts = path.split(separator: ".")
            guard selection.topLayers > 0, parts.count > 2, parts[1] == "layers", let index = Int(parts[2]) else {
                return false
            }
            return index >= layers - selection.topLayers
        }

        fileprivate func firstIdle(among paths: [String]) throws -> String? {
            try zip(selection.patterns, patterns).first { _, pattern in
                try !paths.contains(where: pattern.matchesAll)
            }?.0
        }
    }
}
