import Files
import Foundation
import Layers
import Tensors
import Tokenizers

/// Writes a model as one GGUF file, as llama.cpp's converter would: its names, its row order, its keys, the tokenizer inside.
///
/// Matrices are stored as asked, norms and biases as f32; where they have fewer than 8 bits the head gets six. A head that is the embedding is
/// not written twice. What the source says of itself in text under `general.` is kept where that is a GGUF file.
///
/// - Parameters:
///   - loaded: the model, without adapters on it.
///   - tokenizer: what to write of a tokenizer; from a GGUF file its own metadata is taken.
///   - path: the file.
///   - storage: how matrices are stored; rows that are no whole blocks get another type.
///   - name: what the model is called, where its source does not say.
/// - Throws: `InputError` for what the format cannot say, `RunError` where the disk is full or the file cannot be written.
public func writeGGUF(
    _ loaded: LoadedModel, tokenizer: Tokenizer, to path: String, storage: GGUFStorage, name: String
) throws {
    let (model, family) = (loaded.model, loaded.family)
    let configuration = model.configuration
    var metadata: [(key: String, value: GGUFEntry)] = [
        ("general.architecture", .string(family.ggufArchitecture)), ("general.type", .string("model")),
        ("general.file_type", .uint32(storage.fileType)),
    ]
    metadata += generalTexts(loaded, name: name)
    if storage.isQuantized { metadata.append(("general.quantization_version", .uint32(2))) }
    metadata += try configuration.ggufMetadata(architecture: family.ggufArchitecture)
    metadata += try vocabulary(loaded, tokenizer).ggufMetadata
    metadata += namedTemplates(tokenizer)
    let parameters = model.parameters()
    let head = parameters.contains { $0.path == "lm_head.weight" } ? "lm_head.weight" : "model.embed_tokens.weight"
    let tensors = parameters.map { path, parameter in
        let shape = parameter.value.shape
        let isMatrix = shape.count > 1
        return GGUFTensor(
            name: CheckpointParameters.ggufName(path), shape: shape,
            storage: isMatrix ? (path == head ? storage.ofHead : storage).fitting(columns: shape.last ?? 1) : .f32
        ) { parameter.value.converted(to: .f32).inGGUFRowOrder(of: path, family, configuration) }
    }
    try GGUFWriter.write(metadata, [configuration.ggufFrequencyDivisors].compactMap { $0 } + tensors, to: path)
}

/// A low-rank update `(alpha / r) B A` of one linear layer, r being the rows of A.
public struct GGUFLowRank {
    /// The layer's path.
    public let path: String
    /// `[r, in]`.
    public let a: Tensor
    /// `[out, r]`.
    public let b: Tensor

    /// Names the layer and its factors.
    public init(path: String, a: Tensor, b: Tensor) {
        self.path = path
        self.a = a
        self.b = b
    }
}

/// Writes a LoRA adapter as the GGUF file that llama.cpp loads beside its model (`--lora`).
///
/// The format has one alpha for all layers and scales each by alpha / r of its own: other scales must be folded into B.
///
/// - Parameters:
///   - updates: the layers' factors.
///   - alpha: the numerator of the scale, not 0, which would stand for no scale at all.
///   - loaded: the model that the adapter belongs to.
///   - path: the file.
///   - storage: how the factors are stored: f32, f16 or bf16.
///   - name: what the adapter is called.
/// - Throws: `InputError` for an adapter of a head that is the embedding, which llama.cpp has under no name of its own; `RunError`
///   where the disk is full or the file cannot be written.
public func writeGGUFAdapter(
    _ updates: [GGUFLowRank], alpha: Float, of loaded: LoadedModel, to path: String, storage: GGUFStorage, name: String
) throws {
    precondition(alpha != 0 && !storage.isQuantized, "an adapter of alpha \(alpha) in \(storage)")
    let (family, configuration) = (loaded.family, loaded.model.configuration)
    if configuration.tiesEmbeddings, updates.contains(where: { $0.path == "lm_head" }) {
        throw InputError(
            "the adapter changes a head that is the embedding table, which a GGUF adapter cannot name",
            hint: "Merge it: --to gguf")
    }
    let metadata: [(key: String, value: GGUFEntry)] = [
        ("general.architecture", .string(family.ggufArchitecture)), ("general.type", .string("adapter")),
        ("general.name", .string(name)), ("general.file_type", .uint32(storage.fileType)),
        ("adapter.type", .string("lora")), ("adapter.lora.alpha", .float32(alpha)),
    ]
    let tensors = updates.flatMap { update in
        let parameter = update.path + ".weight"
        let base = CheckpointParameters.ggufName(parameter)
        return [
            GGUFTensor(name: base + ".lora_a", shape: update.a.shape, storage: storage) { update.a },
            GGUFTensor(name: base + ".lora_b", shape: update.b.shape, storage: storage) {
                update.b.inGGUFRowOrder(of: parameter, family, configuration)
            },
        ]
    }
    try GGUFWriter.write(metadata, tensors, to: path)
}

extension Tensor {
    /// The rows of a parameter as its family's GGUF files order them.
    fileprivate func inGGUFRowOrder(
        of path: String, _ family: any ModelFamily.Type, _ configuration: DecoderConfiguration
    ) -> Tensor {
        guard let heads = family.ggufPermutedHeads(path, configuration) else { return self }
        let result = copied()
        result.withMutableFloats { permuteRotaryRows($0, rows: rows, heads: heads) }
        return result
    }
}

/// The vocabulary of the GGUF file that the model came from, or made from its tokenizer.
private func vocabulary(_ loaded: LoadedModel, _ tokenizer: Tokenizer) throws -> TokenizerVocabulary {
    if let checkpoint = loaded.checkpoint as? GGUFCheckpoint {
        var vocabulary = try checkpoint.vocabulary()
        vocabulary.add(tokensOf: tokenizer)
        return vocabulary
    }
    do {
        return try TokenizerVocabulary(tokenizer, size: loaded.model.configuration.vocabularySize)
    } catch let error as InputError { throw error.inFile(loaded.checkpoint.path) }
}

/// Name, licence, authors and the like.
private func generalTexts(_ loaded: LoadedModel, name: String) -> [(key: String, value: GGUFEntry)] {
    var entries: [(key: String, value: GGUFEntry)] = []
    if loaded.checkpoint.format == .gguf {
        let written: Set<String> = ["general.architecture", "general.type"]
        for (key, value) in loaded.checkpoint.configuration.object ?? [:]
        where key.hasPrefix("general.") && !written.contains(key) {
            if let text = value.string { entries.append((key, .string(text))) }
            if let texts = value.array?.compactMap(\.string), !texts.isEmpty { entries.append((key, .strings(texts))) }
        }
    }
    return entries.contains { $0.key == "general.name" } ? entries : [("general.name", .string(name))] + entries
}

private func namedTemplates(_ tokenizer: Tokenizer) -> [(key: String, value: GGUFEntry)] {
    let templates = tokenizer.namedChatTemplates.sorted { $0.key < $1.key }
    guard !templates.isEmpty else { return [] }
    return [("tokenizer.chat_templates", .strings(templates.map(\.key)))]
        + templates.map { ("tokenizer.chat_template.\($0.key)", .string($0.value)) }
}
