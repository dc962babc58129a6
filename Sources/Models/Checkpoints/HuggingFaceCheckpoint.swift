import Files
import Tensors
import Tokenizers

/// A folder as transformers saves a model: `config.json`, safetensors files, tokenizer.
final class HuggingFaceCheckpoint: Checkpoint {
    let path: String
    let format = CheckpointFormat.huggingFace
    let configuration: JSON
    let generationConfiguration: JSON?
    private let weights: SafetensorsFolder

    init(_ folder: String) throws {
        path = folder
        configuration = try Self.readObject(folder + "/config.json")
        if let quantisation = configuration["quantization_config"] {
            let method = quantisation["quant_method"]?.string.map { " (\($0))" } ?? ""
            throw InputError(
                "holds quantised weights\(method), which cannot be read", file: folder,
                hint: "Give the model's folder in F32, F16 or BF16, or a GGUF file")
        }
        let generation = folder + "/generation_config.json"
        if case .file = PathKind(generation) {
            generationConfiguration = try Self.readObject(generation)
        } else {
            generationConfiguration = nil
        }
        weights = try SafetensorsFolder(folder)
    }

    private static func readObject(_ path: String) throws -> JSON {
        let value = try JSON(contentsOf: path)
        guard case .object = value else { throw InputError("is \(value.kind), not an object", file: path) }
        return value
    }

    var tensorNames: [String] { weights.names }

    func shape(of name: String) throws -> [Int] { try weights.shard(of: name).entry(name).shape }

    func storageType(of name: String) throws -> String { try weights.shard(of: name).entry(name).type.rawValue }

    func rawBytes(_ name: String) throws -> UnsafeRawBufferPointer { try weights.shard(of: name).rawBytes(name) }

    func readFloats(_ name: String, into target: UnsafeMutableBufferPointer<Float>) throws {
        try weights.shard(of: name).readFloats(name, into: target)
    }

    func releasePages(of name: String) throws { try weights.shard(of: name).releasePages(of: name) }

    func tokenizer() throws -> Tokenizer {
        let file = path + "/tokenizer.json"
        if case .missing = PathKind(file) {
            throw InputError(
                "has no tokenizer.json", file: path,
                hint: "transformers makes one: AutoTokenizer.from_pretrained(folder).save_pretrained(folder)")
        }
        return try Tokenizer(file: file)
    }
}
