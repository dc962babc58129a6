import Files
import Foundation
import Layers
import Tensors

/// Feeds a model from a checkpoint, and keeps account: what was asked for and is missing, what is there and was not asked for.
final class CheckpointParameters: ParameterSource {
    private let checkpoint: any Checkpoint
    private let family: any ModelFamily.Type
    private let configuration: DecoderConfiguration
    private let storage: MatrixStorage
    private let task: ModelTask
    /// The tokens that the checkpoint has rows for.
    private let tableRows: Int
    private let names: Set<String>
    private var read: Set<String> = []
    /// Whether the score head was drawn, because the files have none.
    private(set) var hasFreshHead = false
    private var errors: [(kind: String, error: Double, total: Double)] = []
    /// Where a matrix is read before it is stored in fewer bits. One for all: memory that the codes of one matrix took from what the
    /// numbers of another left behind would be several times as large as they.
    private var staging: Tensor?

    init(
        _ checkpoint: any Checkpoint, family: any ModelFamily.Type, _ configuration: DecoderConfiguration,
        storage: MatrixStorage, tableRows: Int, task: ModelTask
    ) {
        self.checkpoint = checkpoint
        self.family = family
        self.configuration = configuration
        self.storage = storage
        self.task = task
        self.tableRows = tableRows
        names = Set(checkpoint.tensorNames)
    }

    func tensor(_ path: String, shape: [Int]) throws -> Tensor {
        let name = checkpoint.format == .gguf ? Self.ggufName(path) : path
        if path == ModelTask.scoreName, !names.contains(name), let head = freshHead(shape) { return head }
        guard names.contains(name) else {
            throw InputError("the checkpoint has no tensor \(name)", file: checkpoint.path, place: name)
        }
        let found = try checkpoint.shape(of: name)
        let held = MatrixStorage.isTable(path) ? [min(shape[0], tableRows)] + shape.dropFirst() : shape
        guard found == held else {
            throw InputError(
                "the tensor has shape \(found), the configuration asks for \(held)", file: checkpoint.path,
                place: name)
        }
        read.insert(name)
        let type = shape.count == 2 ? try storage.type(of: path, storedAs: try checkpoint.storageType(of: name)) : .f32
        defer { try? checkpoint.releasePages(of: name) }
        if held != shape { return try grown(name, path, from: held, to: shape, type) }
        if shape.count == 2, let matrix = try checkpoint.quantizedMatrix(name) {
            // What is stored in NF4 stays as it is, with double quantisation or without.
            return try storage.keepsNF4(path) ? matrix : matrix.converted(to: type)
        }
        guard type != .f32 else { return try Tensor(shape: shape) { try read(name, of: path, into: $0) } }
        let tensor = stagingArea()[rows: 0..<shape.reduce(1, *)].reshaped(shape)
        try tensor.withMutableFloats { try read(name, of: path, into: $0) }
        let stored = tensor.converted(to: type)
        if type.isQuantized { note(tensor.squaredError(of: stored), of: path) }
        return stored
    }

    /// A score head as transformers starts it, normal with the configuration's deviation; nil where none is to be drawn.
    private func freshHead(_ shape: [Int]) -> Tensor? {
        guard case .sequenceClassification(let seed?) = task else { return nil }
        hasFreshHead = true
        var generator = RandomGenerator(RandomKey(seed: seed, purpose: ModelTask.scoreName))
        let deviation = configuration.initializerRange
        return Tensor((0..<shape.reduce(1, *)).map { _ in Float(generator.normal() * deviation) }, shape: shape)
    }

    /// Whether a key may be left unread: of a classifier, the language-model head.
    private func mayIgnore(_ key: String) -> Bool {
        let isHead = task != .languageModel && (key.hasPrefix("lm_head.") || key == "output.weight")
        return isHead || family.mayIgnore(key, configuration)
    }

    /// A table with rows for tokens that the checkpoint does not have: the mean of its own, about which transformers'
    /// `resize_token_embeddings` draws them with a deviation of some 3e-5 of theirs.
    private func grown(
        _ name: String, _ path: String, from held: [Int], to shape: [Int], _ type: DType
    ) throws -> Tensor {
        let (rows, columns) = (held[0], held[1])
        let tensor = try Tensor(shape: shape) { floats in
            try read(name, of: path, into: UnsafeMutableBufferPointer(rebasing: floats[..<(rows * columns)]))
            var sums = [Double](repeating: 0, count: columns)
            for row in 0..<rows { for column in 0..<columns { sums[column] += Double(floats[row * columns + column]) } }
            for index in rows * columns..<floats.count { floats[index] = Float(sums[index % columns] / Double(rows)) }
        }
        guard type != .f32 else { return tensor }
        let kept = tensor.converted(to: type)
        if type.isQuantized { note(tensor.squaredError(of: kept), of: path) }
        return kept
    }

    private func read(_ name: String, of path: String, into floats: UnsafeMutableBufferPointer<Float>) throws {
        try checkpoint.readFloats(name, into: floats)
        if checkpoint.format == .gguf, let heads = family.ggufPermutedHeads(path, configuration) {
            unpermuteRotaryRows(floats, rows: try checkpoint.shape(of: name)[0], heads: heads)
        }
    }

    /// Room for the largest matrix.
    private func stagingArea() -> Tensor {
        if let staging { return staging }
        let shapes = checkpoint.tensorNames.compactMap { try? checkpoint.shape(of: $0) }
        let sizes = shapes.filter { $0.count == 2 }.map { $0[0] * $0[1] }
        let area = Tensor(shape: [sizes.max() ?? 0]) { _ in }
        staging = area
        return area
    }

    private func note(_ sums: (error: Double, total: Double), of path: String) {
        let kind = String(path.split(separator: ".").dropLast().last ?? "")
        let index = errors.firstIndex { $0.kind == kind } ?? errors.count
        if index == errors.count { errors.append((kind, 0, 0)) }
        errors[index].error += sums.error
        errors[index].total += sums.total
    }

    /// What quantising lost, for each kind of layer in the order in which they were read.
    var quantizationErrors: [QuantizationError] {
        errors.map { QuantizationError(kind: $0.kind, relative: $0.total > 0 ? ($0.error / $0.total).squareRoot() : 0) }
    }

    /// Gives back what reading took, and fails where the checkpoint holds tensors that the model did not ask for and the family may not
    /// ignore.
    func finish() throws {
        if staging != nil {
            staging = nil
            Device.cpu.trim()
        }
        let unexpected = checkpoint.tensorNames.filter { !read.contains($0) && !mayIgnore($0) }
        guard unexpected.isEmpty else {
            throw InputError(
                "\(unexpected.count) tensors are not part of the model that the configuration describes: "
                    + unexpected.prefix(8).joined(separator: ", ") + (unexpected.count > 8 ? ", …" : ""),
                file: checkpoint.path)
        }
    }

    /// llama.cpp's name of a parameter.
    static func ggufName(_ path: String) -> String {
        var name = path
        for (ours, theirs) in [
            ("model.embed_tokens.", "token_embd."), ("model.norm.", "output_norm."), ("lm_head.", "output."),
            ("model.layers.", "blk."), ("self_attn.q_proj.", "attn_q."), ("self_attn.k_proj.", "attn_k."),
            ("self_attn.v_proj.", "attn_v."), ("self_attn.o_proj.", "attn_output."), ("mlp.gate_proj.", "ffn_gate."),
            ("mlp.up_proj.", "ffn_up."), ("mlp.down_proj.", "ffn_down."), ("input_layernorm.", "attn_norm."),
            ("post_attention_layernorm.", "ffn_norm."),
        ] {
            if let range = name.range(of: ours) { name.replaceSubrange(range, with: theirs) }
        }
        return name
    }
}
