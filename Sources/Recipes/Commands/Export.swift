import Adapters
import Files
import Layers
import Models
import Tensors
import Trainers

/// What an export makes.
public enum ExportTarget: String, CaseIterable, Sendable {
    /// One GGUF file: llama.cpp and what is built on it.
    case gguf
    /// A GGUF file with an adapter alone, which llama.cpp loads beside its model.
    case ggufLoRA = "gguf-lora"
    /// A Hugging Face folder.
    case safetensors
    /// A folder with an adapter alone, which mlx-lm loads beside its model.
    case mlx

    /// The types it can be written in, the default first.
    public var types: [GGUFStorage] {
        switch self {
        case .gguf: [.f16, .f32, .bf16, .q8_0, .q6_k, .q5_1, .q5_0, .q4_k, .q4_1, .q4_0]
        case .ggufLoRA, .mlx: [.f32, .f16, .bf16]
        case .safetensors: [.bf16, .f32, .f16]
        }
    }

    /// The type of a name, whatever the target.
    ///
    /// - Throws: ``InputError`` for a name that is none's.
    public static func type(_ name: String) throws -> GGUFStorage {
        guard let type = GGUFStorage(rawValue: name) else {
            let names = GGUFStorage.allCases.map(\.rawValue) + ["nf4"]
            throw InputError(
                "`--type` must be one of \(names.joined(separator: ", ")), not `\(name)`",
                hint: nearestName(to: name, among: names).map { "Did you mean `\($0)`?" })
        }
        return type
    }
}

/// How an export turned out.
public struct ExportReport: Sendable {
    /// What was written.
    public var output: String
    /// What it is.
    public var target: ExportTarget
    /// How its matrices are stored.
    public var type: String
    /// The layers that an adapter changed, or that an exported adapter changes.
    public var layers: Int
    /// The logits of what was written against those of the model with its adapters on; nil for an adapter alone.
    public var logits: LogitDifference?
    /// Whether they are close enough for the type; nil for an adapter, and for types that change the numbers by design.
    public var isVerified: Bool?

    /// The report as an object.
    public var json: JSON {
        [
            "output": .string(output), "to": .string(target.rawValue), "type": .string(type),
            "layers": .integer(layers), "verified": isVerified.map { .bool($0) } ?? .null,
            "max_logit_difference": logits.map { .number($0.maximum) } ?? .null,
            "mean_logit_difference": logits.map { .number($0.mean) } ?? .null,
            "mean_kl": logits.map { .number($0.meanKL) } ?? .null,
            "tokens_compared": logits.map { .integer($0.rows) } ?? .null,
        ]
    }
}

extension Commands {
    /// Writes a model, or an adapter, for other programs.
    ///
    /// A model is merged with its adapters first, and read back before it appears under its name: its logits must be as close as
    /// those of a merge, unless it is quantised, when the difference is only reported.
    ///
    /// - Parameters:
    ///   - settings: the model.
    ///   - adapters: folders, merged in order; for `gguf-lora` and `mlx` the one adapter to write.
    ///   - target: what to make.
    ///   - output: the file or folder to write; must not exist.
    ///   - type: how matrices are stored; nil for the target's default.
    ///   - force: whether a model that misses the tolerance is written all the same.
    ///   - observer: takes remarks.
    /// - Returns: how it turned out.
    /// - Throws: ``InputError`` for what cannot be read or expressed; ``RunError`` for what is refused or cannot be written.
    public static func export(
        _ settings: ModelSettings, adapters: [String], to target: ExportTarget, output: String,
        type: GGUFStorage? = nil, force: Bool = false, observer: RunObserver = { _ in }
    ) throws -> ExportReport {
        let type = type ?? target.types[0]
        guard target.types.contains(type) else {
            throw InputError(
                "`--type \(type.rawValue)` is not written to \(target.rawValue)",
                hint: "Its types are "
                    + (target.types.map(\.rawValue) + (target == .safetensors ? ["nf4"] : [])).joined(separator: ", "))
        }
        switch target {
        case .ggufLoRA, .mlx:
            return try exportAdapter(settings, adapters, to: target, output: output, type: type, observer: observer)
        case .gguf, .safetensors:
            let output = try freeName(output)
            let settings = try settings.adopting(storageOf: adapters, observer: observer)
            let writing = VerifiedWriting(
                settings: settings, adapters: adapters, output: output,
                tolerance: type.isQuantized ? .none : type == .f32 ? .logits : .likelihoods, force: force)
            return try writing(observer: observer) { session, path in
                if target == .gguf {
                    try writeGGUF(
                        session.loaded, tokenizer: session.tokenizer, to: path, storage: type,
                        name: lastComponent(settings.path))
                } else {
                    try writeHuggingFaceFolder(
                        session.loaded, tokenizer: session.tokenizer, to: path, dtype: type.folderType)
                }
            } finish: { outcome, _ in
                ExportReport(
                    output: outcome.output, target: target, type: type.rawValue, layers: outcome.layers,
                    logits: outcome.logits, isVerified: type.isQuantized ? nil : outcome.isVerified)
            }
        }
    }

    private static func exportAdapter(
        _ settings: ModelSettings, _ adapters: [String], to target: ExportTarget, output: String, type: GGUFStorage,
        observer: RunObserver
    ) throws -> ExportReport {
        let output = try freeName(output)
        guard adapters.count == 1 else {
            throw InputError(
                "one `--adapter` is written to \(target.rawValue), not \(adapters.count)",
                hint: adapters.isEmpty ? nil : "Export each to a file of its own")
        }
        try checkMergeable(adapters)
        let session = try ModelSession(settings)
        let name = try session.attach(adapters, observer: observer)[0]
        guard let lora = try AdapterFolder(adapters[0]).configuration as? LoRAConfiguration else {
            throw inexpressible(adapters[0], target)
        }
        var pairs = lora
        pairs.useDoRA = target == .mlx ? false : lora.useDoRA
        guard pairs.isPairsAlone else { throw inexpressible(adapters[0], target) }
        let layers: Int
        if target == .mlx {
            guard session.model.head?.adapter(name) == nil || !session.loaded.model.configuration.tiesEmbeddings else {
                throw InputError(
                    "the adapter changes a head that is the embedding table, which mlx-lm has no name for",
                    file: adapters[0], hint: "Merge it instead: --to safetensors")
            }
            layers = try writeMLXAdapter(
                lora, named: name, of: session.model, to: output, baseModel: settings.path, type: type.tensorType)
        } else {
            layers = try writeLowRank(lora, named: name, session, from: adapters[0], to: output, type: type)
        }
        return ExportReport(output: output, target: target, type: type.rawValue, layers: layers)
    }

    /// Writes the factors of LoRA as llama.cpp reads them; returns the number of layers.
    private static func writeLowRank(
        _ lora: LoRAConfiguration, named name: String, _ session: ModelSession, from folder: String, to output: String,
        type: GGUFStorage
    ) throws -> Int {
        // An alpha of 0 would stand for no scale at all.
        let alpha = lora.loraAlpha == 0 ? 1 : lora.loraAlpha
        let updates = try session.model.modules().compactMap { path, module in
            if (module as? Embedding)?.adapter(name) != nil { throw inexpressible(folder, .ggufLoRA) }
            return try (module as? Linear)?.adapter(name).map { adapter in
                guard let adapter = adapter as? LoRAAdapter, adapter.ownWeight == nil else {
                    throw inexpressible(folder, .ggufLoRA)
                }
                return lowRank(path, adapter, alpha: alpha)
            }
        }
        try writeGGUFAdapter(
            updates, alpha: Float(alpha), of: session.loaded, to: output, storage: type, name: lastComponent(folder))
        return updates.count
    }

    /// The factors of a layer, with what its own scale is beyond alpha / r folded into B.
    private static func lowRank(_ path: String, _ adapter: LoRAAdapter, alpha: Double) -> GGUFLowRank {
        let (a, b) = (adapter.a.value, adapter.b.value)
        let implied = alpha / Double(a.rows)
        // Compared as it is kept: rounding alone must not change B.
        guard Float(implied) != adapter.scale else { return GGUFLowRank(path: path, a: a, b: b) }
        let factor = Float(Double(adapter.scale) / implied)
        return GGUFLowRank(path: path, a: a, b: Tensor(b.values.map { $0 * factor }, shape: b.shape))
    }

    private static func inexpressible(_ adapter: String, _ target: ExportTarget) -> InputError {
        target == .mlx
            ? InputError(
                "only LoRA and DoRA can be written as an mlx-lm adapter", file: adapter,
                hint: "Merge the adapter instead: --to safetensors")
            : InputError(
                "only LoRA's factors can be written to a gguf-lora file", file: adapter,
                hint: "Merge the adapter instead: --to gguf")
    }

    private static func lastComponent(_ path: String) -> String {
        let name = path.split(separator: "/").last.map(String.init) ?? path
        return name.hasSuffix(".gguf") ? String(name.dropLast(5)) : name
    }
}

extension GGUFStorage {
    /// The same type of a safetensors file.
    fileprivate var folderType: DType {
        switch self {
        case .f16: .f16
        case .bf16: .bf16
        default: .f32
        }
    }

    /// The same type, of an adapter's tensors.
    fileprivate var tensorType: SafetensorsType {
        switch self {
        case .f16: .f16
        case .bf16: .bf16
        default: .f32
        }
    }
}
