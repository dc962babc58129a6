import Adapters
import Datasets
import Files
import Layers
import Models
import Tensors
import Tokenizers
import Trainers

/// The model that a run's preference loss measures change against, as its recipe names it.
///
/// Where an adapter is trained, the base model is the same weights with the adapter off, and the model at the start the same weights
/// with a frozen copy of the adapter: neither takes memory. Where weights of the model itself are trained, it is loaded a second time.
struct PreferenceReference {
    /// The reference, or what it said of every row.
    let model: ReferenceModel
    /// What a resumed run must agree with.
    let identity: [String: String]

    private static let name = "reference"

    /// Prepares the reference; nil where the objective has none.
    ///
    /// - Throws: ``InputError`` for a model that cannot be read, or whose tokens are other ones.
    init?(
        _ recipe: Recipe, _ session: ModelSession, _ weights: TrainedWeights, _ data: RunData,
        observer: @escaping RunObserver
    ) throws {
        guard let settings = recipe.objective.reference else { return nil }
        let source = try Source(settings.model, recipe)
        identity = try source.identity(
            baseHash: weights.baseHash,
            below: (recipe.model.adapters ?? []).map { try ContentHash.ofFile($0 + "/" + AdapterFolder.weightsName) })
        if settings.isPrecomputed {
            model = .known(try source.precomputed(recipe, session, weights, data, identity, observer: observer))
        } else {
            let loaded = try source.loaded(recipe, session, weights, observer: observer)
            model = .model(loaded.model, adapters: loaded.adapters)
        }
    }

    /// Where the reference comes from.
    private enum Source {
        /// The model without the adapter that is trained.
        case base
        /// The base model with the adapter in a folder.
        case adapter(String)
        /// A new adapter as its seed makes it, which changes the base model from the start.
        case newAdapter
        /// Another model.
        case other(String)

        init(_ choice: ReferenceChoice, _ recipe: Recipe) throws {
            switch (choice, recipe.adapter?.initFrom) {
            case (.base, _), (.auto, nil): self = .base
            case (.auto, let start?), (.start, let start?): self = .adapter(start)
            case (.start, nil): self = recipe.adapter == nil ? .base : .newAdapter
            case (.path(let path), _):
                let isAdapter =
                    if case .file = PathKind(path + "/" + AdapterFolder.configurationName) { true } else { false }
                self = isAdapter ? .adapter(path) : .other(path)
            }
        }

        /// The hashes of the weights that the reference has.
        func identity(baseHash: String, below: [String]) throws -> [String: String] {
            let baseHash = ([baseHash] + below).joined(separator: " ")
            switch self {
            case .base: return ["the reference model": baseHash]
            case .newAdapter: return ["the reference model": "\(baseHash), adapter as it starts"]
            case .adapter(let path):
                let hash = try ContentHash.ofFile(path + "/" + AdapterFolder.weightsName)
                let settings = try ContentHash.ofFile(path + "/" + AdapterFolder.configurationName)
                return ["the reference model": "\(baseHash) \(hash) \(settings)"]
            case .other(let path): return ["the reference model": try openCheckpoint(path).contentHash()]
            }
        }

        /// The reference as a model that stays in memory.
        func loaded(
            _ recipe: Recipe, _ session: ModelSession, _ weights: TrainedWeights, observer: @escaping RunObserver
        ) throws -> (model: CausalLM, adapters: [String]) {
            switch self {
            case .base where weights.keepsBase(session): return (session.model, weights.frozen)
            case .base:
                observer(
                    .note("the model is loaded a second time as the reference; precompute_ref_log_probs avoids that"))
                return (try ModelSession(recipe.model).model, [])
            case .adapter(let path):
                try session.attachFrozen(
                    AdapterFolder(path), named: PreferenceReference.name, baseHash: weights.baseHash)
                return (session.model, weights.frozen + [PreferenceReference.name])
            case .newAdapter:
                throw InputError(
                    "`objective.reference: start` is the base model with the adapter as its seed makes it",
                    hint: "`base` is the base model alone"
                        + (recipe.objective.policy == nil
                            ? "; where the loss can do with it, `objective.precompute_ref_log_probs: true` scores with the adapter"
                            : ""))
            case .other(let path): return (try otherModel(path, recipe, session).model, [])
            }
        }

        private func otherModel(_ path: String, _ recipe: Recipe, _ session: ModelSession) throws -> ModelSession {
            var settings = recipe.model
            settings.path = path
            // It has them already, or is another model.
            (settings.addTokens, settings.addSpecialTokens) = (nil, nil)
            let other = try ModelSession(settings)
            guard session.tokenizer.hasSameTokens(as: other.tokenizer) else {
                throw InputError("the reference model has other tokens than \(recipe.model.path)", file: path)
            }
            return other
        }

        /// What the reference says of every row of training and evaluation: from an earlier run's file, or computed now, before
        /// anything is trained.
        func precomputed(
            _ recipe: Recipe, _ session: ModelSession, _ weights: TrainedWeights, _ data: RunData,
            _ identity: [String: String], observer: @escaping RunObserver
        ) throws -> ReferenceLogProbabilities {
            let examples = data.training() + data.evaluation
            var parts = identity.map { "\($0.key): \($0.value)" }.sorted()
            parts += [
                Device.cpu.path, recipe.model.precision.rawValue, recipe.model.storage.rawValue, session.templateHash,
            ]
            if case .newAdapter = self {
                parts += recipe.entries.filter { $0.keyPath.hasPrefix("adapter.") }.map(\.value)
            }
            let path = recipe.dataset.cache.folder(for: "reference").map {
                $0 + "/\(ReferenceLogProbabilities.fileKey(examples, identity: parts)).logps"
            }
            if let path, let known = ReferenceLogProbabilities(path: path, for: examples) {
                observer(
                    .note("the reference's log-probabilities of \(examples.count) rows are those of an earlier run"))
                return known
            }
            let known: ReferenceLogProbabilities
            switch self {
            case .base: known = .init(examples, of: session.model, adapters: weights.frozen)
            // Nothing is trained yet: the active adapter is the one that training starts from.
            case .newAdapter: known = .init(examples, of: session.model, adapters: weights.active)
            case .adapter, .other:
                let reference = try loaded(recipe, session, weights, observer: observer)
                known = .init(examples, of: reference.model, adapters: reference.adapters)
            }
            observer(.note("the reference has scored \(examples.count) rows"))
            guard let path else { return known }
            do {
                try FileWriting.makeFolder(String(path.prefix(upTo: path.lastIndex(of: "/") ?? path.endIndex)))
                try known.write(to: path, for: examples)
            } catch {
                observer(.note("the reference's log-probabilities could not be kept: \(error)"))
            }
            return known
        }
    }
}
