import Adapters
import Files
import Layers
import Models
import Tensors

/// What a run trains and saves: an adapter on a frozen model, or the whole model.
struct TrainedWeights {
    /// The adapters that are active while training and evaluating.
    let active: [String]
    /// Those of them that are frozen, below the one that is trained.
    let frozen: [String]
    /// The hash of the frozen base.
    let baseHash: String
    private let configuration: (any AdapterConfiguration)?
    private let baseName: String
    private let storage: DType
    /// The frozen adapters below, as paths.
    private let below: [String]

    private static let name = "default"

    /// Attaches the recipe's adapter, or makes the model trainable where it has none: the weights that the recipe names, or all.
    init(_ recipe: Recipe, _ session: ModelSession) throws {
        baseHash = try session.loaded.checkpoint.contentHash()
        baseName = recipe.model.path
        storage = session.loaded.weights
        below = recipe.model.adapters ?? []
        switch recipe.adapter {
        case let settings?:
            // Attaching freezes what is there: the one that is trained comes last.
            frozen = try session.attach(below)
            active = frozen + [Self.name]
            if let start = settings.initFrom {
                let folder = try AdapterFolder(start)
                try attach(folder, to: session.model, name: Self.name, isTrainable: true, baseHash: baseHash)
                configuration = folder.configuration
            } else {
                let made = try settings.configuration(for: session, named: recipe.model.path)
                try attach(made, to: session.model, name: Self.name, seed: UInt64(recipe.training.seed))
                configuration = made
            }
        case nil:
            guard below.isEmpty else {
                throw InputError(
                    "`model.adapters` needs an `adapter` section: the weights of a model under adapters are not trained",
                    hint: "Merge them into the model first")
            }
            (active, frozen) = ([], [])
            configuration = nil
            if let trainable = recipe.training.trainableParameters {
                try trainable.apply(to: session.model, layers: session.model.configuration.layers)
                return
            }
            guard storage == .f32 else {
                throw InputError(
                    "full fine-tuning needs `model.weights: f32`: weights stored as \(storage.inWords) cannot be trained",
                    hint: "`training.trainable` names those that are trained, and kept in f32")
            }
            session.model.setTrainable(true)
        }
    }

    /// Whether the model without its adapters stays as it was: nothing of its own is trained.
    func keepsBase(_ session: ModelSession) -> Bool {
        configuration != nil
            && session.model.trainableParameters().allSatisfy {
                $0.path.split(separator: ".").contains { $0 == Self.name }
            }
    }

    /// Writes the adapter as PEFT does, or the model as a Hugging Face folder, with the tokenizer and template beside it.
    func save(to folder: RunFolder, _ session: ModelSession) throws {
        guard let configuration else {
            let staged = folder.path + "/model.partial"
            try writeHuggingFaceFolder(
                session.loaded, tokenizer: session.tokenizer, to: staged, dtype: .f32, replacing: true)
            try folder.takeFiles(of: staged)
            return
        }
        var metadata = [
            AdapterRecord.baseHash: baseHash, AdapterRecord.baseStorage: storage.rawValue,
            AdapterRecord.templateHash: session.templateHash, AdapterRecord.version: graftVersion,
        ]
        if !below.isEmpty { metadata[AdapterRecord.below] = JSON.array(below.map { .string($0) }).text() }
        let record = AdapterRecord(baseModel: baseName, metadata: metadata)
        try folder.write(session.tokenizer)
        try writeAdapter(configuration, named: Self.name, of: session.model, to: folder.path, record: record)
    }
}
