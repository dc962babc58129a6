import Adapters
import Datasets
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

    var storage: DType {
        switch self {
        case .f32: .f32
        case .f16: .f16
        case .bf16: .bf16
        }
    }
}

/// How a merge turned out.
public struct MergeReport: Sendable {
    /// The folder of the merged model.
    public var output: String
    /// The layers whose weights changed.
    public var layers: Int
    /// The reloaded model's logits against those with the adapter on.
    public var logits: LogitDifference
    /// Whether they are close enough for the type written.
    public var isVerified: Bool

    /// The report as an object.
    public var json: JSON {
        [
            "output": .string(output), "layers": .integer(layers), "verified": .bool(isVerified),
            "max_logit_difference": .number(logits.maximum), "mean_logit_difference": .number(logits.mean),
            "mean_kl": .number(logits.meanKL), "tokens_compared": .integer(logits.rows),
        ]
    }
}

extension Commands {
    /// Merges adapters into a model, writes it, and proves that what was written computes the same.
    ///
    /// The folder appears under its name only after it has been read back and its logits compared with those of the adapter on the
    /// base: at most 1e-3 apart in f32, at most 1e-3 nats of mean KL a token in f16 and bf16.
    ///
    /// - Parameters:
    ///   - settings: the base model.
    ///   - adapters: folders, merged in order.
    ///   - output: the folder to write; must not exist.
    ///   - type: how the weights are written.
    ///   - force: whether a model that misses the tolerance is written all the same.
    ///   - observer: takes remarks.
    /// - Returns: how it turned out.
    /// - Throws: ``InputError`` for anything that cannot be read; ``RunError`` for a merge that is refused or cannot be written.
    public static func merge(
        _ settings: ModelSettings, adapters: [String], output: String, type: MergeType = .bf16, force: Bool = false,
        observer: RunObserver = { _ in }
    ) throws -> MergeReport {
        try writeVerified(
            settings, adapters: adapters, output: output, force: force,
            isClose: { type == .f32 ? $0.maximum <= 1e-3 : $0.meanKL <= 1e-3 }, observer: observer
        ) { session, path in
            try writeHuggingFaceFolder(session.loaded, tokenizer: session.tokenizer, to: path, dtype: type.storage)
        }
    }

    /// Loads a model, folds adapters into it, writes it beside the output, reads that back, compares logits, and moves it into place.
    ///
    /// - Parameters:
    ///   - settings: the base model.
    ///   - adapters: folders, merged in order; may be none.
    ///   - output: what to write; must not exist.
    ///   - force: whether a model that is not close is written all the same.
    ///   - isClose: whether logits this far apart are those of the same model, for the type written.
    ///   - observer: takes remarks.
    ///   - write: writes the model to a path.
    /// - Returns: how it turned out.
    /// - Throws: ``InputError`` for anything that cannot be read; ``RunError`` for a model that is refused or cannot be written.
    static func writeVerified(
        _ settings: ModelSettings, adapters: [String], output: String, force: Bool,
        isClose: (LogitDifference) -> Bool, observer: RunObserver, _ write: (ModelSession, String) throws -> Void
    ) throws -> MergeReport {
        let output = try freeName(output)
        try checkMergeable(adapters)
        let settings = try settings.adopting(storageOf: adapters, observer: observer)
        let session = try ModelSession(settings)
        if settings.storage.isQuantized {
            let numbers = "the numbers that \(settings.storage.inWords) weights stand for"
            observer(
                .note(
                    adapters.isEmpty
                        ? "written from \(numbers)" : "merged into \(numbers), as the adapter's training saw them"))
        }
        let active = try session.attach(adapters, observer: observer)
        let probe = try probe(session)
        let adapted = LogitRecord(session.model, adapters: active, probe)
        let layers = try mergeAdapters(named: active, in: session.model)
        let temporary = output + ".partial"
        try? FileManager.default.removeItem(atPath: temporary)
        do {
            try write(session, temporary)
            let written = try ModelRegistry.load(temporary)
            let logits = adapted.difference(LogitRecord(written.model, adapters: [], probe))
            let isClose = isClose(logits)
            guard isClose || force else {
                throw RunError(
                    "the merge is refused: the written model's logits differ from the adapter's by up to \(logits.maximum), "
                        + "\(logits.meanKL) nats a token; --force writes it all the same")
            }
            guard rename(temporary, output) == 0 else {
                throw RunError("cannot write \(output): \(String(cString: strerror(errno)))")
            }
            return MergeReport(output: output, layers: layers.count, logits: logits, isVerified: isClose)
        } catch {
            try? FileManager.default.removeItem(atPath: temporary)
            throw error
        }
    }

    /// Refuses adapters of methods that are no change of weights.
    static func checkMergeable(_ adapters: [String]) throws {
        for path in adapters {
            guard let refusal = type(of: try AdapterFolder(path).configuration).mergeRefusal else { continue }
            throw InputError(
                refusal, file: path, hint: "evaluate, generate, chat and compare take it with --adapter")
        }
    }

    /// The name of an output that does not exist yet.
    static func freeName(_ path: String) throws -> String {
        let output = try outputName(path)
        guard case .missing = PathKind(output) else {
            throw InputError("the output exists already", file: output, hint: "Name another, or remove it")
        }
        return output
    }

    /// A name without slashes at its end, so that other names can be made from it.
    private static func outputName(_ path: String) throws -> String {
        let name = String(path.reversed().drop { $0 == "/" }.reversed())
        guard !name.isEmpty else {
            throw InputError("`--output` names no folder or file that could be made: \"\(path)\"")
        }
        return name
    }

    /// Texts of several kinds, templated where the model has a template, on which logits are compared.
    private static func probe(_ session: ModelSession) throws -> [[Int32]] {
        let texts = [
            "The tide turned at four in the morning, and with it the wind; by noon the harbour was empty again.",
            "def area(radius):\n    return 3.14159 * radius ** 2\n\nprint(area(2.5))  # 19.63",
            "¿Cuántos días tiene un año bisiesto? 366. Und im Deutschen: dreihundertsechsundsechzig. 閏年は366日です。",
        ]
        var sequences = texts.map { session.tokenizer.encode($0, addSpecialTokens: true) }
        if let renderer = session.renderer {
            let prompt = try renderer.prompt([Message(role: "user", content: .string(texts[0]))])
            sequences.append(session.tokenizer.encode(prompt))
        }
        return sequences
    }
}
