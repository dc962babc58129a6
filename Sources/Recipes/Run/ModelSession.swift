import Adapters
import Datasets
import Files
import Foundation
import Models
import Tensors
import Tokenizers

/// A model's tokenizer and chat template, without its weights.
struct TokenizerSession {
    let tokenizer: Tokenizer
    /// The chat template; nil where the model has none.
    let renderer: ChatRenderer?
    /// The model's files.
    let checkpoint: any Checkpoint

    init(_ settings: ModelSettings) throws { try self.init(openCheckpoint(settings.path)) }

    init(_ checkpoint: any Checkpoint) throws {
        self.checkpoint = checkpoint
        let tokenizer = try checkpoint.tokenizer()
        self.tokenizer = tokenizer
        do {
            renderer = try tokenizer.chatTemplate.map { try ChatRenderer($0, tokenizer: tokenizer) }
        } catch var error as InputError {
            // The template names itself only; whose it is, is known here.
            error.file = [checkpoint.path, error.file].compactMap { $0 }.joined(separator: ": ")
            throw error
        }
    }
}

/// A model with its tokenizer and chat template: what most commands begin with.
struct ModelSession {
    let loaded: LoadedModel
    let tokenizer: Tokenizer
    /// The chat template; nil where the model has none.
    let renderer: ChatRenderer?

    var model: CausalLM { loaded.model }

    /// Loads a model as a recipe's section or a command's flags say, and remarks on what quantising it lost.
    ///
    /// - Parameters:
    ///   - settings: the model and how it is kept in memory.
    ///   - trainable: the weights of its own that will be trained, if any.
    ///   - task: what its head is to say.
    ///   - observer: takes the remark.
    /// - Throws: `InputError` where the model cannot be read, or a pattern is not valid.
    init(
        _ settings: ModelSettings, trainable: TrainableParameters? = nil, task: ModelTask = .languageModel,
        observer: RunObserver = { _ in }
    ) throws {
        let selector = try trainable?.selector()
        loaded = try ModelRegistry.load(
            settings.path, weights: settings.storage, precision: settings.precision, task: task
        ) {
            try selector?.selects($0, layers: $1) ?? false
        }
        if !loaded.quantizationErrors.isEmpty {
            let errors = loaded.quantizationErrors.map {
                "\($0.kind) \(String(format: "%.2f", 100 * $0.relative)) %"
            }
            observer(
                .note("weights kept as \(settings.storage.inWords), off by (RMS): \(errors.joined(separator: ", "))"))
        }
        let text = try TokenizerSession(loaded.checkpoint)
        tokenizer = text.tokenizer
        renderer = text.renderer
        let (known, used) = (model.configuration.vocabularySize, tokenizer.vocabularySize)
        guard used <= known else {
            throw InputError("the tokenizer has \(used) tokens, the model knows \(known)", file: loaded.checkpoint.path)
        }
    }

    /// The hash of the chat template's source; of nothing where there is none.
    var templateHash: String {
        let hash = ContentHash()
        hash.add(tokenizer.chatTemplate ?? "")
        return hash.hexadecimal
    }

    /// The tokens that end an answer: the configuration's, the tokenizer's, and the one that the template ends a turn with.
    func stopTokens() -> Set<Int32> {
        var tokens: Set<Int32> = []
        let checkpoint = loaded.checkpoint
        let configured = checkpoint.generationConfiguration?["eos_token_id"] ?? checkpoint.configuration["eos_token_id"]
        for id in configured?.array ?? configured.map({ [$0] }) ?? [] {
            if let id = id.integer { tokens.insert(Int32(clamping: id)) }
        }
        if let eos = tokenizer.eosToken { tokens.insert(eos) }
        if let end = renderer?.endOfTurnToken(tokenizer) { tokens.insert(end) }
        return tokens
    }

    /// Loads adapters onto the model, frozen, in order.
    ///
    /// - Returns: the names under which they are active.
    /// - Throws: `InputError` where one was made for another model.
    func attach(_ folders: [String], observer: RunObserver = { _ in }) throws -> [String] {
        guard !folders.isEmpty else { return [] }
        let hash = try loaded.checkpoint.contentHash()
        return try folders.enumerated().map { index, path in
            let folder = try AdapterFolder(path)
            folder.notes.forEach { observer(.note($0)) }
            try check(folder)
            let name = "\(index)"
            try Adapters.attach(folder, to: model, name: name, isTrainable: false, baseHash: hash)
            if let recorded = folder.metadata[AdapterRecord.baseHash], recorded != hash {
                observer(.note("\(path) was trained on other weights than those of \(loaded.checkpoint.path)"))
            }
            remarkOnOrder(folder, after: folders.prefix(index), observer)
            return name
        }
    }
}

extension ModelSession {
    /// Fails for a reward adapter on a model that is to say which token comes next.
    private func check(_ folder: AdapterFolder) throws {
        guard folder.isReward, model.scoreHead == nil else { return }
        throw InputError(
            "the adapter is a reward model (task_type SEQ_CLS): it scores answers, and does not say which token comes next",
            file: folder.path,
            hint: "`graft evaluate` scores preference pairs with it, `graft merge` makes it a model of its own")
    }

    /// An adapter that was trained on top of others needs them below it.
    private func remarkOnOrder(
        _ folder: AdapterFolder, after others: ArraySlice<String>, _ observer: RunObserver
    ) {
        let below = folder.below
        guard !below.isEmpty, below.count != others.count else { return }
        observer(
            .note(
                "\(folder.path) was trained on top of \(below.joined(separator: ", ")): name those first, in this order"
            ))
    }
}

extension ModelSettings {
    /// These settings, with the storage that the adapters were trained on where none was asked for, or that of a folder in NF4.
    func adopting(storageOf adapters: [String], observer: RunObserver) throws -> ModelSettings {
        guard !isStorageGiven else { return self }
        let records = try adapters.compactMap { path in
            try AdapterFolder(path).metadata[AdapterRecord.baseStorage].flatMap(DType.init).map { (path, $0) }
        }
        let (adopted, reason): (DType, String)
        if let (path, recorded) = records.first {
            (adopted, reason) = (recorded, "\(path) was trained on \(recorded.inWords) weights: the model is loaded so")
            for (other, storage) in records where storage != recorded {
                observer(
                    .note("\(other) was trained on \(storage.inWords) weights, \(path) on \(recorded.inWords) ones"))
            }
        } else if let held = try openCheckpoint(path).quantization {
            (adopted, reason) = (held, "\(path) holds \(held.inWords) weights: they are kept so")
        } else {
            return self
        }
        guard adopted != storage else { return self }
        observer(.note(reason))
        var copy = self
        copy.storage = adopted
        return copy
    }
}
