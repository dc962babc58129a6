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
    private let matrices: BitsAndBytesMatrices

    init(_ folder: String) throws {
        path = folder
        configuration = try Self.readObject(folder + "/config.json")
        let generation = folder + "/generation_config.json"
        if case .file = PathKind(generation) {
            generationConfiguration = try Self.readObject(generation)
        } else {
            generationConfiguration = nil
        }
        weights = try SafetensorsFolder(folder)
        matrices = try BitsAndBytesMatrices(weights, configuration)
    }

    private static func readObject(_ path: String) throws -> JSON {
        let value = try JSON(contentsOf: path)
        guard case .object = value else { throw InputError("is \(value.kind), not an object", file: path) }
        return value
    }

    var tensorNames: [String] { weights.names.filter { !matrices.isPart($0) } }

    var quantization: DType? { matrices.type }

    func shape(of name: String) throws -> [Int] {
        try matrices.shape(of: name) ?? weights.shard(of: name).entry(name).shape
    }

    func storageType(of name: String) throws -> String {
        matrices.shape(of: name) == nil ? try weights.shard(of: name).entry(name).type.rawValue : "NF4"
    }

    func rawBytes(_ name: String) throws -> UnsafeRawBufferPointer { try weights.shard(of: name).rawBytes(name) }

    func readFloats(_ name: String, into target: UnsafeMutableBufferPointer<Float>) throws {
        guard let matrix = try matrices.matrix(name) else {
            return try weights.shard(of: name).readFloats(name, into: target)
        }
        precondition(target.count == matrix.count, "\(target.count) numbers for \(name) \(matrix.shape)")
        _ = target.update(fromContentsOf: matrix.values)
    }

    func quantizedMatrix(_ name: String) throws -> Tensor? { try matrices.matrix(name) }

    func releasePages(of name: String) throws {
        try weights.shard(of: name).releasePages(of: name)
        if matrices.shape(of: name) != nil { try matrices.releasePages(of: name) }
    }

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
