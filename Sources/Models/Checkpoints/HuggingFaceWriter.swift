import Files
import Foundation
import Layers
import Tensors
import Tokenizers

/// Writes a model as a Hugging Face folder: `config.json`, `generation_config.json`, safetensors, and the tokenizer's files.
///
/// All is written beside the target first. A folder that was not there, or was empty, appears complete or not at all. Into a folder
/// that holds something, the files are then moved one by one, `config.json` first away and last in: a crash half way leaves a folder
/// that says it is no model, never a mixture that loads.
///
/// - Parameters:
///   - loaded: the model, without adapters on it, and where it came from: its configuration is kept, all but what changed.
///   - tokenizer: what to write beside it.
///   - path: the folder.
///   - dtype: how the numbers are stored. NF4 is bitsandbytes': linear layers are quantised, unless they are already or the model skips
///     them, and the rest is bf16 where that loses nothing, else f32. bitsandbytes has no embeddings in NF4.
///   - replacing: whether the folder may hold files already; those of the model are replaced, others stay.
/// - Throws: `InputError` where the folder holds something and `replacing` is false, or a weight does not fit f16; `RunError` where
///   the disk is full or the folder cannot be written.
public func writeHuggingFaceFolder(
    _ loaded: LoadedModel, tokenizer: Tokenizer, to path: String, dtype: DType, replacing: Bool = false
) throws {
    let existing = try contents(of: path)
    guard existing.isEmpty || replacing else {
        throw InputError("the folder is not empty", file: path, hint: "Name another one, or allow it to be replaced")
    }
    let temporary = path + ".partial"
    try? FileManager.default.removeItem(atPath: temporary)
    do {
        let tensors = folderTensors(loaded, dtype)
        try writeFiles(HuggingFaceConfiguration(loaded, tokenizer, dtype), tensors, tokenizer, to: temporary)
        if existing.isEmpty {
            try move(temporary, to: path)
        } else {
            try moveFiles(from: temporary, into: path)
        }
    } catch {
        try? FileManager.default.removeItem(atPath: temporary)
        throw error
    }
}

/// A model's tensors as a folder holds them.
private func folderTensors(_ loaded: LoadedModel, _ dtype: DType) -> [SafetensorsTensor] {
    precondition(dtype != .int8, "a folder of weights in int8 is not written")
    return loaded.heldParameters.flatMap { name, parameter in
        let value = parameter.value
        if dtype.isQuantized, loaded.isNF4InFolder(name, value) {
            return BitsAndBytesMatrices.tensors(name, value.converted(to: dtype))
        }
        let type: SafetensorsType =
            switch dtype {
            case .f16: .f16
            case .bf16: .bf16
            case .f32: .f32
            default: value.isExactInBF16 ? .bf16 : .f32
            }
        return [
            SafetensorsTensor(name, type, shape: value.shape) { sink in try value.converted(to: .f32).withFloats(sink) }
        ]
    }
}

extension LoadedModel {
    /// What a folder holds. A language model's place for the score heads of reward adapters is not its own.
    fileprivate var heldParameters: [(path: String, parameter: Parameter)] {
        model.parameters().filter { model.isSequenceClassifier || $0.path != ModelTask.scoreName }
    }

    /// Whether a folder in NF4 holds a parameter so: one that came from such a folder is never turned into numbers.
    fileprivate func isNF4InFolder(_ name: String, _ value: Tensor) -> Bool {
        guard value.shape.count == 2, !name.hasPrefix("model.embed_tokens."), name != ModelTask.scoreName else {
            return false
        }
        return value.dtype == .nf4 || value.dtype == .nf4DoubleQuant || !skipped.contains(name)
    }

    /// Whether what is not in NF4 there loses nothing in bf16.
    fileprivate var isExactInBF16: Bool {
        heldParameters.allSatisfy { isNF4InFolder($0, $1.value) || $1.value.isExactInBF16 }
    }

    /// The linear layers that are not: `llm_int8_skip_modules`.
    fileprivate var layersNotInNF4: [String] {
        model.modules().compactMap { path, module in
            let isHeld = model.isSequenceClassifier || path + ".weight" != ModelTask.scoreName
            guard isHeld, let layer = module as? Linear else { return nil }
            let isTable = layer.weight === model.model.embeddingWeight
            return isTable || !isNF4InFolder(path + ".weight", layer.weight.value) ? path : nil
        }
    }
}

extension Tensor {
    /// Whether rounding to bf16 changes no number.
    fileprivate var isExactInBF16: Bool {
        dtype == .bf16 || converted(to: .f32).withFloats { $0.allSatisfy { $0.bitPattern & 0xffff == 0 } }
    }
}

/// What the two JSON files of a folder say.
private struct HuggingFaceConfiguration {
    let model: JSON
    let generation: JSON?

    init(_ loaded: LoadedModel, _ tokenizer: Tokenizer, _ dtype: DType) {
        let name =
            switch dtype {
            case .f32: "float32"
            case .bf16: "bfloat16"
            case .f16: "float16"
            default: loaded.isExactInBF16 ? "bfloat16" : "float32"
            }
        let tokens = [
            ("bos_token_id", tokenizer.bosToken), ("eos_token_id", tokenizer.eosToken),
            ("pad_token_id", tokenizer.padToken),
        ].compactMap { key, id in id.map { (key, JSON.integer(Int($0))) } }
        let size = loaded.model.configuration.vocabularySize
        var changes: [(String, JSON)] = [("vocab_size", .integer(size))]
        if let head = loaded.model.head {
            let isTied = head.weight === loaded.model.model.embeddingWeight
            changes += [
                ("architectures", [.string(loaded.family.architecture)]), ("tie_word_embeddings", .bool(isTied)),
            ]
        } else {
            // Without the id of padding transformers does not know where a sequence of a batch ends.
            let padding = tokenizer.padToken ?? tokenizer.eosToken
            changes += [
                ("architectures", [.string(loaded.family.classifierArchitecture)]), ("num_labels", 1),
                ("id2label", ["0": "LABEL_0"]), ("label2id", ["LABEL_0": 0]),
                ("pad_token_id", padding.map { .integer(Int($0)) } ?? .null),
            ]
        }
        let original: JSON
        switch loaded.checkpoint.format {
        case .huggingFace:
            original = loaded.checkpoint.configuration
            generation = loaded.model.isSequenceClassifier ? nil : loaded.checkpoint.generationConfiguration
        case .gguf:
            original = loaded.family.huggingFaceConfiguration(loaded.model.configuration)
            generation = tokens.isEmpty || loaded.model.isSequenceClassifier ? nil : JSON(members: tokens)
            changes = tokens + changes
        }
        // The older name stays where it was used: programs that know it alone would miss the newer one.
        changes.append((original["torch_dtype"] == nil ? "dtype" : "torch_dtype", .string(name)))
        if dtype.isQuantized {
            let isDouble = dtype == .nf4DoubleQuant
            changes.append(
                (
                    "quantization_config",
                    BitsAndBytesMatrices.configuration(
                        isDouble: isDouble, computeType: name, skipped: loaded.layersNotInNF4)
                ))
        }
        var members = (original.object ?? [:])
        members["quantization_config"] = nil
        members = members.merging(changes) { $1 }
        model = .object(members.filter { $0.key != "dtype" || original["torch_dtype"] == nil })
    }
}

private func writeFiles(
    _ configuration: HuggingFaceConfiguration, _ tensors: [SafetensorsTensor], _ tokenizer: Tokenizer,
    to folder: String
) throws {
    try SafetensorsFolder.write(tensors, to: folder)
    func write(_ json: JSON, _ name: String) throws {
        try FileWriting.replace(folder + "/" + name, with: json.text(.indented(2, sortedKeys: true)) + "\n")
    }
    if let generation = configuration.generation { try write(generation, "generation_config.json") }
    for (name, bytes) in tokenizer.files.sorted(by: { $0.key < $1.key }) {
        let file = folder + "/" + name
        try FileWriting.makeFolder(URL(filePath: file).deletingLastPathComponent().path(percentEncoded: false))
        try FileWriting.replace(file) { sink in try bytes.withUnsafeBytes { try sink.write($0) } }
    }
    try write(configuration.model, "config.json")
}

/// What a folder holds; nothing where there is none.
private func contents(of path: String) throws -> [String] {
    switch PathKind(path) {
    case .missing: return []
    case .file: throw InputError("a file stands where a folder is needed", file: path)
    case .folder:
        do { return try FileManager.default.contentsOfDirectory(atPath: path) } catch {
            throw InputError("cannot read the folder: \(error.localizedDescription)", file: path)
        }
    }
}

private func moveFiles(from source: String, into target: String) throws {
    let new = Set(try contents(of: source))
    let isWeights = { (name: String) in
        name.hasPrefix("model") && (name.hasSuffix(".safetensors") || name.hasSuffix(".safetensors.index.json"))
    }
    try FileWriting.remove(target + "/config.json")
    for name in try contents(of: target).filter(isWeights) where !new.contains(name) {
        try FileWriting.remove(target + "/" + name)
    }
    for name in new.subtracting(["config.json"]).sorted() {
        let isFolder = if case .folder = PathKind(target + "/" + name) { true } else { false }
        if isFolder { try? FileManager.default.removeItem(atPath: target + "/" + name) }
        try move(source + "/" + name, to: target + "/" + name)
    }
    try move(source + "/config.json", to: target + "/config.json")
    try FileManager.default.removeItem(atPath: source)
}

/// Moves a file or folder to a name that is free, or that of a file or an empty folder.
private func move(_ source: String, to target: String) throws {
    guard rename(source, target) == 0 else {
        throw RunError("cannot write \(target): \(String(cString: strerror(errno)))")
    }
    try FileWriting.syncFolder(containing: target)
}
