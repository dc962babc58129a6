import Files
import Tensors

/// How the matrices of a model are kept in memory.
struct MatrixStorage {
    /// Of the linear layers.
    let weights: DType
    /// How products are computed.
    let precision: Precision
    /// What is not quantised where linear layers are.
    let skipped: SkippedModules
    /// Whether the source holds NF4: what it holds otherwise is not quantised either, but for tables of tokens where those are not skipped.
    let followsSource: Bool
    /// Whether a matrix is trained, which only f32 can be.
    let isTrained: (_ path: String) throws -> Bool

    /// How one is kept. What is not quantised stays in the type of the products, and in bf16 where it comes in it. A score head is a few
    /// numbers, and stays in f32.
    func type(of path: String, storedAs source: String) throws -> DType {
        if try path == ModelTask.scoreName || isTrained(path) { return .f32 }
        let isLeft = followsSource && source != "NF4" && !Self.isTable(path)
        guard weights.isQuantized, isLeft || skipped.contains(path) else { return weights }
        return precision == .bf16 || source == "BF16" ? .bf16 : .f32
    }

    /// Whether a parameter has a row for each token.
    static func isTable(_ path: String) -> Bool {
        path == "model.embed_tokens.weight" || path == "lm_head.weight"
    }

    /// Whether a matrix that a file holds in NF4 stays as it is there.
    func keepsNF4(_ path: String) throws -> Bool {
        try weights == .nf4 || weights == .nf4DoubleQuant ? !isTrained(path) : false
    }
}

/// Modules whose matrices stay as they are where the others are quantised: bitsandbytes' `llm_int8_skip_modules`.
public struct SkippedModules: Hashable, Sendable {
    /// What is left out unless other modules are named: the output head, as in bitsandbytes, and the embedding, which it never
    /// quantises.
    public static let standard = SkippedModules(["lm_head", "embed_tokens"])

    /// Module paths, or parts of such between dots: `lm_head`, `layers.0`, `layers.0.mlp.down_proj`.
    public let names: [String]
    /// Whether the head shares the embedding's weight: it stays where one of them is to.
    private let isTied: Bool

    /// Names modules.
    public init(_ names: [String]) { self.init(names, isTied: false) }

    private init(_ names: [String], isTied: Bool) {
        self.names = names
        self.isTied = isTied
    }

    /// The same modules in a model of a configuration.
    func inModel(_ configuration: DecoderConfiguration) -> SkippedModules {
        SkippedModules(names, isTied: configuration.tiesEmbeddings)
    }

    /// Whether a parameter is of one of the modules.
    func contains(_ path: String) -> Bool {
        names.contains { covers($0, path) }
            || isTied && path.hasPrefix("model.embed_tokens.") && names.contains { covers($0, "lm_head.weight") }
    }

    /// Fails where a name is of no module with one of these parameters.
    func check(_ paths: [String]) throws {
        let known = paths + (isTied ? ["lm_head.weight"] : [])
        guard let idle = names.first(where: { name in !known.contains { covers(name, $0) } }) else { return }
        let parts = Set(known.flatMap { $0.split(separator: ".").dropLast().map(String.init) })
        throw InputError(
            "`skip_modules`: no module is named \(idle)",
            hint: nearestName(to: idle, among: parts.sorted()).map { "Did you mean \($0)?" })
    }

    private func covers(_ name: String, _ path: String) -> Bool { ".\(path).".contains(".\(name).") }
}

/// What quantising the layers of a kind lost.
public struct QuantizationError: Sendable {
    /// Their name in a block: `q_proj`.
    public var kind: String
    /// `√(Σ (stored − w)² / Σ w²)` over all of them.
    public var relative: Double
}
