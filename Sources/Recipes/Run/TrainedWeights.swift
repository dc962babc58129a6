import Adapters
import Files
import Layers
import Models
import Tensors
import Trainers

/// What a run trains and saves: an adapter on a frozen model, or the whole model.
struct TrainedWeights {
    /// The adapters that are active while training and evaluating.
    let active: [String]
    /// Those of them that are frozen, below the one that is trained.
    let frozen: [String]
    /// The hash of the frozen base.
    let baseHash: String
    /// The adapter's settings; nil where weights of the model are trained.
    let configuration: (any AdapterConfiguration)?
    private let baseName: String
    private let storage: DType
    /// The frozen adapters below, as paths.
    private let below: [String]
    /// The tokens that were added.
    private let newTokens: [String]

    private static let name = "default"

    /// Attaches the recipe's adapter, or makes the model trainable where it has none: the weights that the recipe names, or all.
    init(_ recipe: Recipe, _ session: ModelSession) throws {
        baseHash = try session.loaded.checkpoint.contentHash()
        baseName = recipe.model.path
        storage = session.loaded.weights
        below = recipe.model.adapters ?? []
        newTokens = recipe.model.newTokens.map(\.content)
        switch recipe.adapter {
        case let settings?:
            // Attaching freezes what is there: the one that is trained comes last.
            frozen = try session.attach(below)
            active = frozen + [Self.name]
            if let start = settings.initFrom {
                let folder = try AdapterFolder(start)
                try Self.check(folder, recipe)
                try attach(folder, to: session.model, name: Self.name, isTrainable: true, baseHash: baseHash)
                try session.check(folder, baseHash: baseHash)
                configuration = folder.configuration
            } else {
                let made = try Self.training(
                    session.newTokens, by: settings.configuration(for: session, named: recipe.model.path), session)
                try attach(made, to: session.model, name: Self.name, seed: UInt64(recipe.training.seed))
                configuration = made
            }
            try Self.checkTokens(session)
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
                // Nothing can be rewarded through a head that stays as it was drawn.
                session.model.scoreHead?.weight.isTrainable = true
                try Self.checkTokens(session)
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

    /// Fails where an adapter that training starts from is of the other kind: a reward model's, or none of such.
    private static func check(_ folder: AdapterFolder, _ recipe: Recipe) throws {
        let isReward = if case .reward = recipe.objective { true } else { false }
        guard folder.isReward != isReward else { return }
        throw InputError(
            isReward
                ? "`adapter.init_from` is no reward model's adapter (task_type SEQ_CLS): it has no score head to go on with"
                : "`adapter.init_from` is a reward model's adapter (task_type SEQ_CLS)", file: folder.path,
            hint: isReward ? "`model.adapters` puts it below the one that is trained" : nil)
    }

    /// A configuration that trains the rows of new tokens too, where its method can.
    private static func training(
        _ tokens: Range<Int32>, by configuration: any AdapterConfiguration, _ session: ModelSession
    ) -> any AdapterConfiguration {
        guard !tokens.isEmpty, var lora = configuration as? LoRAConfiguration else { return configuration }
        // A reward model has no language-model head.
        let hasOwnHead = session.model.head.map { $0.weight !== session.model.model.embedding.weight } ?? false
        lora.train(tokens: tokens.map(Int.init), isTied: !hasOwnHead)
        return lora
    }

    /// Fails where tokens were added whose rows nothing trains.
    private static func checkTokens(_ session: ModelSession) throws {
        let table = session.model.model.embedding
        guard !session.newTokens.isEmpty, !table.weight.isTrainable, table.adapter(name) == nil else { return }
        throw InputError(
            "`model.add_tokens`: nothing trains the rows of the new tokens",
            hint:
                "`adapter.modules_to_save: [embed_tokens, lm_head]`, `training.trainable` or an adapter of the type lora does"
        )
    }

    /// Whether the model without its adapters stays as it was: nothing of its own is trained.
    func keepsBase(_ session: ModelSession) -> Bool {
        configuration != nil
            && session.model.trainableParameters().allSatisfy {
                $0.path.split(separator: ".").contains { $0 == Self.name || $0 == Critic.adapterName }
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
        try folder.write(session.tokenizer)
        try writeAdapter(configuration, named: Self.name, of: session.model, to: folder.path, record: record(session))
    }

    /// What an adapter's files say of the model that it belongs to.
    func record(_ session: ModelSession) -> AdapterRecord {
        var metadata = [
            AdapterRecord.baseHash: baseHash, AdapterRecord.templateHash: session.templateHash,
            AdapterRecord.version: graftVersion,
        ].merging(RecordedStorage(session.loaded).metadata) { $1 }
        if !newTokens.isEmpty {
            metadata[AdapterRecord.addedTokens] = JSON.array(newTokens.map { .string($0) }).text()
        }
        if !below.isEmpty { metadata[AdapterRecord.below] = JSON.array(below.map { .string($0) }).text() }
        let task = session.model.isSequenceClassifier ? AdapterRecord.rewardTask : AdapterRecord.languageTask
        return AdapterRecord(baseModel: baseName, taskType: task, metadata: metadata)
    }
}
