import Files
import Tensors

/// The folder of an adapter as PEFT keeps it: `adapter_config.json` and `adapter_model.safetensors`. A folder of mlx-lm's is read as if
/// PEFT had written it.
public struct AdapterFolder: Sendable {
    /// The folder.
    public let path: String
    /// The method and its settings.
    public let configuration: any AdapterConfiguration
    /// The model that it was trained on, as its author named it.
    public let baseModel: String?
    /// `CAUSAL_LM` and the like.
    public let taskType: String?
    /// What the tensors' file says of itself; see ``AdapterRecord``.
    public let metadata: [String: String]
    /// What a user should hear of, though nothing is wrong: keys that this program does not know.
    public let notes: [String]
    let weights: AdapterTensors

    /// Whether it makes a reward model: it brings a score head with it.
    public var isReward: Bool {
        let head = "base_model.model.score."
        return taskType == AdapterRecord.rewardTask || weights.names.contains { $0.hasPrefix(head) }
    }

    /// The name of the settings' file.
    public static let configurationName = "adapter_config.json"
    /// The name of the tensors' file.
    public static let weightsName = "adapter_model.safetensors"

    /// Opens a folder and reads all but the tensors.
    ///
    /// - Throws: `InputError` where a file is missing or broken, or a setting is one that this program does not do.
    public init(_ path: String) throws {
        self.path = path
        try Self.checkFolder(path)
        let file = path + "/" + Self.configurationName
        let settings = try JSON(contentsOf: file)
        if MLXAdapter.describes(settings) {
            let adapter = try MLXAdapter(settings, folder: path)
            do { try adapter.configuration.validate() } catch let fault as InputError { throw fault.inFile(file) }
            (configuration, weights, metadata) = (adapter.configuration, adapter.tensors, adapter.tensors.metadata)
            (baseModel, taskType, notes) = (adapter.baseModel, nil, [])
            return
        }
        var reader = try PEFTReader(settings, file: file)
        guard let type = try reader.string("peft_type") else {
            throw reader.fault("peft_type", "peft_type is missing: it says what kind of adapter this is")
        }
        let method = try AdapterRegistry.method(peftType: type, file: file)
        do {
            configuration = try method.init(&reader)
            try configuration.validate()
        } catch let fault as InputError { throw fault.inFile(file) }
        baseModel = try reader.string("base_model_name_or_path")
        taskType = try reader.string("task_type")
        for key in ["auto_mapping", "inference_mode", "peft_version", "revision"] { _ = reader.take(key) }
        notes =
            reader.unread.isEmpty
            ? [] : ["\(file): ignored keys that this program does not know: \(reader.unread.joined(separator: ", "))"]
        try Self.checkWeights(path)
        weights = AdapterTensors(try SafetensorsFile(path + "/" + Self.weightsName))
        metadata = weights.metadata
    }

    private static func checkFolder(_ path: String) throws {
        switch PathKind(path) {
        case .missing: throw InputError("no such folder", file: path)
        case .file: throw InputError("is a file; an adapter is a folder with \(configurationName)", file: path)
        case .folder: break
        }
        guard case .file = PathKind(path + "/" + configurationName) else {
            let isModel = if case .file = PathKind(path + "/config.json") { true } else { false }
            throw InputError(
                "holds no adapter: there is no \(configurationName)", file: path,
                hint: isModel ? "It looks like a model: name it as the model" : nil)
        }
    }

    private static func checkWeights(_ path: String) throws {
        guard case .file = PathKind(path + "/" + weightsName) else {
            let pickle = "adapter_model.bin"
            guard case .file = PathKind(path + "/" + pickle) else {
                throw InputError("has no \(weightsName)", file: path)
            }
            throw InputError(
                "has only \(pickle), a PyTorch pickle file, which can run code when it is opened and is not read here",
                file: path,
                hint: "Convert it once with PEFT: PeftModel.from_pretrained(model, folder).save_pretrained(folder)")
        }
    }
}

/// What is written beside an adapter's tensors so that a later program can tell what it belongs to.
public struct AdapterRecord: Hashable, Sendable {
    /// The model it was trained on, as named in the recipe.
    public var baseModel: String?
    /// PEFT's task: `CAUSAL_LM`, or `SEQ_CLS` for a reward model.
    public var taskType: String
    /// Further entries of the tensors' file: hash and storage of the base, hash of the template, version.
    public var metadata: [String: String]

    /// PEFT's task of a language model.
    public static let languageTask = "CAUSAL_LM"
    /// PEFT's task of a reward model.
    public static let rewardTask = "SEQ_CLS"
    /// The metadata key of the base model's content hash.
    public static let baseHash = "graft_base_hash"
    /// The metadata key of how the base's matrices were stored in memory: `f32`, `bf16` …
    public static let baseStorage = "graft_base_storage"
    /// The metadata key of the modules of it that were not quantised, a JSON array, where those are not the usual ones.
    public static let baseSkippedModules = "graft_base_skip_modules"
    /// The metadata key of the hash of the chat template trained with.
    public static let templateHash = "graft_template_hash"
    /// The metadata key of the tokens that the run added to the tokenizer, a JSON array.
    public static let addedTokens = "graft_added_tokens"
    /// The metadata key of this program's version.
    public static let version = "graft_version"

    /// The metadata key of the adapters that it was trained on top of: a JSON array of folders.
    public static let below = "graft_base_adapters"
    /// The metadata key of how it was combined from others.
    public static let combination = "graft_combination"

    /// Makes a record.
    public init(baseModel: String?, taskType: String = languageTask, metadata: [String: String] = [:]) {
        self.baseModel = baseModel
        self.taskType = taskType
        self.metadata = metadata
    }
}
