import Adapters
import Files
import Foundation
import Models
import Tensors
import Trainers

/// How a merged model's weights are written.
public enum MergeType: String, CaseIterable, Sendable {
    /// 32-bit floats: four bytes a weight.
    case f32
    /// 16-bit floats, which overflow above 65504.
    case f16
    /// bfloat16: two bytes, the range of f32.
    case bf16
    /// NF4 as bitsandbytes keeps it, with double quantisation where the model's settings say so: the linear layers but the head.
    case nf4

    /// How a folder's weights are stored.
    func storage(_ settings: ModelSettings) -> DType {
        switch self {
        case .f32: .f32
        case .f16: .f16
        case .bf16: .bf16
        case .nf4: settings.doubleQuant ? .nf4DoubleQuant : .nf4
        }
    }

    /// How closely what is written must compute what the model with its adapters on does.
    var tolerance: WritingTolerance {
        switch self {
        case .f32: .logits
        case .f16, .bf16: .likelihoods
        case .nf4: .none
        }
    }
}

/// How a merge turned out.
public struct MergeReport: Sendable {
    /// The folder of the merged model.
    public var output: String
    /// The layers whose weights changed.
    public var layers: Int
    /// How the weights are written.
    public var type: MergeType
    /// How the base's linear layers were stored when the adapter was folded in.
    public var baseStorage: String
    /// The reloaded model's logits against those with the adapter on; of a reward model its rewards after every token.
    public var logits: LogitDifference
    /// Whether it is a reward model.
    public var isReward: Bool
    /// Whether what was folded in is what the adapters compute, and what was written close enough to it for its type.
    public var isVerified: Bool
    /// Base, adapter, merged and re-quantised model on the same rows; nil without rows.
    public var comparison: Comparison?

    /// The report as an object.
    public var json: JSON {
        [
            "output": .string(output), "layers": .integer(layers), "dtype": .string(type.rawValue),
            "base_storage": .string(baseStorage),
            "task": .string(isReward ? "sequence_classification" : "language_model"),
            "verified": .bool(isVerified),
            "max_logit_difference": .number(logits.maximum), "mean_logit_difference": .number(logits.mean),
            "mean_kl": .number(logits.meanKL), "tokens_compared": .integer(logits.rows),
            "comparison": comparison?.json ?? .null,
        ]
    }
}

extension Commands {
    /// The file in a merged model's folder that says how the merge turned out.
    public static let mergeRecord = "merge.json"

    /// Merges adapters into a model, writes it, and proves that what was written computes the same.
    ///
    /// The folder appears under its name only after it has been read back and its logits compared with those of the adapter on the
    /// base: at most 1e-3 apart in f32, at most 1e-3 nats of mean KL a token in f16 and bf16. Of a reward model, which is written as a
    /// sequence classifier, rewards are compared: at most 1e-3 apart, or 0.05 in the mean. In NF4 the difference is reported, and the
    /// sum before it is quantised must be within that of f32. A base in fewer bits is merged as the numbers that its codes stand for.
    ///
    /// - Parameters:
    ///   - settings: the base model.
    ///   - adapters: folders, merged in order.
    ///   - output: the folder to write; must not exist.
    ///   - type: how the weights are written.
    ///   - rows: on what base, adapter, merged and re-quantised model are compared; nil to leave that out.
    ///   - force: whether a model that misses the tolerance is written all the same.
    ///   - observer: takes remarks.
    /// - Returns: how it turned out; `merge.json` in the folder says the same.
    /// - Throws: ``InputError`` for anything that cannot be read or merged; ``RunError`` for a merge that is refused or cannot be written.
    public static func merge(
        _ settings: ModelSettings, adapters: [String], output: String, type: MergeType = .bf16,
        rows: ScoringOptions? = nil, force: Bool = false, observer: RunObserver = { _ in }
    ) throws -> MergeReport {
        let output = try freeName(output)
        let settings = try settings.adopting(storageOf: adapters, observer: observer)
        let writing = VerifiedWriting(
            settings: settings, adapters: adapters, output: output, tolerance: type.tolerance, force: force,
            writesRewardModels: true)
        return try writing(rows, observer: observer) { session, path in
            try writeHuggingFaceFolder(
                session.loaded, tokenizer: session.tokenizer, to: path, dtype: type.storage(settings))
        } finish: { outcome, path in
            let report = MergeReport(
                output: outcome.output, layers: outcome.layers, type: type, baseStorage: settings.storage.rawValue,
                logits: outcome.logits, isReward: outcome.isReward, isVerified: outcome.isVerified,
                comparison: outcome.comparison)
            let record = JSON(
                members: [("base", .string(settings.path)), ("adapters", .array(adapters.map { .string($0) }))]
                    + (report.json.object ?? [:]).filter { $0.key != "output" }.map { ($0.key, $0.value) })
            try FileWriting.replace(path + "/" + mergeRecord, with: record.text(.indented(2, sortedKeys: false)) + "\n")
            return report
        }
    }
}
