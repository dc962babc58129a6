import Adapters
import Datasets
import Files
import Layers
import Models
import Tensors
import Tokenizers
import Trainers

/// Where the reward model of a run comes from.
struct RewardModelSource {
    /// A reward adapter's folder, or a model with a score head.
    var path: String
    /// The model that the adapter in ``path`` stands on, where it is not the one that is trained.
    var base: String?
}

extension ModelSession {
    /// Makes a reward of a model that was trained on preferences, beside the policy that this session trains.
    ///
    /// An adapter of the policy's own base is put on that, frozen, under its own name: one base is in memory. Anything else is loaded as
    /// a model of its own.
    ///
    /// - Parameters:
    ///   - source: where it is.
    ///   - name: under which an adapter is active, unlike any other of the session's.
    ///   - settings: the policy's, for precision and storage.
    ///   - weights: what is trained; attached already.
    ///   - tokensPerPass: how many tokens are scored at a time.
    ///   - observer: takes remarks.
    /// - Returns: the reward.
    /// - Throws: ``InputError`` for what cannot be read, has no score head or other tokens than the policy, or needs a base that changes.
    func modelReward(
        _ source: RewardModelSource, named name: String, settings: ModelSettings, weights: TrainedWeights,
        tokensPerPass: Int = Evaluator.tokensPerBatch, observer: @escaping RunObserver = { _ in }
    ) throws -> ModelReward {
        let isAdapter =
            if case .file = PathKind(source.path + "/" + AdapterFolder.configurationName) { true } else { false }
        if let base = source.base {
            guard isAdapter else {
                throw InputError("is no adapter, and so stands on no other model", file: source.path)
            }
            if try openCheckpoint(base).contentHash() != weights.baseHash {
                return try ownModelReward(
                    base, [source.path], settings, tokensPerPass: tokensPerPass, observer: observer)
            }
        }
        guard isAdapter else {
            return try ownModelReward(source.path, [], settings, tokensPerPass: tokensPerPass, observer: observer)
        }
        let active = try attachReward(source.path, named: name, settings, weights, observer)
        return ModelReward(model: model, adapters: active, tokensPerPass: tokensPerPass, turnEnd: turnEnd)
    }

    /// What the chat template writes after an answer's last token.
    private var turnEnd: TurnEnd? { renderer?.turnEnd(tokenizer) }

    /// A model of its own.
    private func ownModelReward(
        _ path: String, _ adapters: [String], _ settings: ModelSettings, tokensPerPass: Int,
        observer: @escaping RunObserver
    ) throws -> ModelReward {
        var own = settings
        own.path = path
        // A folder that is whole has them already; an adapter brings them to its base.
        if adapters.isEmpty { (own.addTokens, own.addSpecialTokens) = (nil, nil) }
        let other = try ModelSession(own, task: own.task(with: adapters), observer: observer)
        guard other.model.scoreHead != nil else {
            throw InputError(
                "is no reward model: it has no score head", file: path,
                hint: "`objective: { type: reward }` trains one; name its folder")
        }
        try check(other.tokenizer, of: path, against: settings.path)
        let active = try other.attach(adapters, observer: observer)
        try other.requireScoreHead(of: active, in: adapters)
        return ModelReward(model: other.model, adapters: active, tokensPerPass: tokensPerPass, turnEnd: turnEnd)
    }

    /// Puts a reward adapter on the policy's base, beside what is trained.
    private func attachReward(
        _ path: String, named name: String, _ settings: ModelSettings, _ weights: TrainedWeights,
        _ observer: RunObserver
    ) throws -> [String] {
        let folder = try AdapterFolder(path)
        guard folder.isReward else {
            throw InputError(
                "is no reward model's adapter: it has no score head", file: path,
                hint: "`objective: { type: reward }` trains one")
        }
        guard weights.keepsBase(self) else {
            throw InputError(
                "the reward adapter stands on the model that is trained, whose own weights change", file: path,
                hint: "Train an adapter, or make the reward model a folder of its own with `graft merge`")
        }
        folder.notes.forEach { observer(.note($0)) }
        if folder.metadata[AdapterRecord.baseHash] != weights.baseHash {
            let tokens = path + "/tokenizer.json"
            if case .file = PathKind(tokens) { try check(Tokenizer(file: tokens), of: path, against: settings.path) }
            observer(.note("\(path) may have been trained on other weights than those of \(settings.path)"))
        }
        if let recorded = folder.metadata[AdapterRecord.templateHash], recorded != templateHash {
            observer(.note("\(path) was trained with another chat template than that of \(settings.path)"))
        }
        let below = try belowReward(folder, settings, weights)
        model.addScoreHead()
        try attachFrozen(folder, named: name, baseHash: weights.baseHash)
        return below + [name]
    }

    /// The frozen adapters that the reward's was trained on top of, which must be those of the policy.
    private func belowReward(
        _ folder: AdapterFolder, _ settings: ModelSettings, _ weights: TrainedWeights
    ) throws -> [String] {
        let below = folder.below
        guard !below.isEmpty else { return [] }
        guard below == settings.adapters ?? [] else {
            throw InputError(
                "the reward adapter was trained on top of \(below.joined(separator: ", ")), which `model.adapters` does not name alike",
                file: folder.path, hint: "Make the reward model a folder of its own with `graft merge`")
        }
        return weights.frozen
    }

    /// Fails where a reward model has other tokens than the policy.
    private func check(_ other: Tokenizer, of path: String, against policy: String) throws {
        guard !tokenizer.hasSameTokens(as: other) else { return }
        let counts = "\(other.vocabularySize) and \(tokenizer.vocabularySize)"
        throw InputError(
            "the reward model has other tokens than the policy \(policy) (\(counts)): it would read other words",
            file: path, hint: "Answers are scored token by token; both must come from the same tokenizer")
    }

    /// Fails where the score head is one that was drawn, and none of the active adapters brings another.
    func requireScoreHead(of active: [String], in folders: [String]) throws {
        guard loaded.hasFreshHead, !active.contains(where: { model.scoreHead?.adapter($0)?.ownWeight != nil }) else {
            return
        }
        throw InputError(
            "neither the model nor the adapter holds a score head: rewards would be random numbers", file: folders.last,
            hint: "PEFT saves it with `modules_to_save: [score]`")
    }

    /// Puts a frozen adapter beside what is trained, which goes on being trained.
    func attachFrozen(_ folder: AdapterFolder, named name: String, baseHash: String) throws {
        try keepingTrained {
            try Adapters.attach(folder, to: model, name: name, isTrainable: false, baseHash: baseHash)
        }
    }

    /// Attaches something, which freezes the model; what was trained before goes on being trained.
    func keepingTrained(_ attach: () throws -> Void) rethrows {
        let trained = model.trainableParameters()
        try attach()
        for (_, parameter) in trained { parameter.isTrainable = true }
    }
}

extension ModelSettings {
    /// What a model with these adapters says: it is a reward model where its files say so, or an adapter brings a score head.
    func task(with adapters: [String]) throws -> ModelTask {
        if try openCheckpoint(path).isSequenceClassifier { return .sequenceClassification(seed: nil) }
        let bringsHead = try adapters.contains { try AdapterFolder($0).isReward }
        // What is drawn is never read: the adapter's head takes its place.
        return bringsHead ? .sequenceClassification(seed: 0) : .languageModel
    }
}

extension Tokenizer {
    /// Whether every number stands for the same token.
    func hasSameTokens(as other: Tokenizer) -> Bool {
        vocabularySize == other.vocabularySize
            && (0..<Int32(vocabularySize)).allSatisfy { token($0) == other.token($0) }
    }
}

extension AdapterFolder {
    /// The adapters that it was trained on top of.
    var below: [String] {
        let names = metadata[AdapterRecord.below].flatMap { try? JSON(parsing: $0) }?.array ?? []
        return names.compactMap(\.string)
    }
}
