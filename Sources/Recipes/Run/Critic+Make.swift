import Adapters
import Files
import Layers
import Models
import Tensors
import Trainers

/// PPO's critic as a recipe asks for it, and what a run's folder holds of it.
extension Critic {
    /// The name of its own adapter, and of the folder in a run's folder that it is saved in.
    static let adapterName = "value_adapter"
    private static let headName = "value_head.safetensors"

    /// The critic of the run that training goes on from, or one that expects nothing yet.
    ///
    /// - Parameters:
    ///   - trunk: whether it has an adapter of its own, which is then attached and trained beside the policy's.
    ///   - recipe: says where training starts.
    ///   - session: the model of both.
    ///   - weights: the policy's adapter; attached already.
    /// - Throws: ``InputError`` for files of an earlier run that do not fit.
    init(on trunk: Trunk, _ recipe: Recipe, _ session: ModelSession, _ weights: TrainedWeights) throws {
        let head = ValueHead(hiddenSize: session.model.configuration.hiddenSize)
        let start = recipe.adapter?.initFrom
        let own = start.map { "\($0)/\(Self.adapterName)" }
        if case .policy = trunk, let own, PathKind(own) == .folder {
            throw InputError(
                "the value head of the run that training goes on from stands on this adapter", file: own,
                hint: "`objective.value_adapter: true` goes on with it; without the folder the value head begins anew")
        }
        if let path = start.map({ "\($0)/\(Self.headName)" }), case .file = PathKind(path) { try head.read(path) }
        guard case .own = trunk, let configuration = weights.configuration else {
            self.init(head)
            return
        }
        try session.keepingTrained {
            if let start, let own {
                // Where the earlier run had no critic of its own, it begins as the policy does.
                let folder = try AdapterFolder(PathKind(own) == .folder ? own : start)
                let modules = AdaptableModules(session.model)
                guard try folder.configuration.peftKeys(for: modules) == configuration.peftKeys(for: modules) else {
                    throw InputError("has other settings than the adapter of the policy beside it", file: own)
                }
                try attach(
                    folder, to: session.model, name: Self.adapterName, isTrainable: true, baseHash: weights.baseHash)
            } else {
                try attach(
                    configuration, to: session.model, name: Self.adapterName, seed: UInt64(recipe.training.seed))
            }
            Self.freezeHead(of: session.model)
        }
        self.init(head, adapters: weights.frozen + [Self.adapterName])
    }

    /// Writes the value head, and its adapter as PEFT does.
    func save(to folder: RunFolder, _ session: ModelSession, _ weights: TrainedWeights) throws {
        try head.write(to: "\(folder.path)/\(Self.headName)")
        guard adapters != nil, let configuration = weights.configuration else { return }
        try writeAdapter(
            configuration, named: Self.adapterName, of: session.model, to: "\(folder.path)/\(Self.adapterName)",
            record: weights.record(session))
    }

    /// Freezes what of its adapter lies on the language model's head, which no value is read through.
    private static func freezeHead(of model: CausalLM) {
        let shared = Set(
            (model.model.embedding.adapterModule(adapterName)?.parameters() ?? []).map {
                ObjectIdentifier($0.parameter)
            })
        for (_, parameter) in model.head?.adapterModule(adapterName)?.parameters() ?? []
        where !shared.contains(ObjectIdentifier(parameter)) {
            parameter.isTrainable = false
        }
    }
}
