import Files
import Tensors
import Tokenizers

/// The kinds of checkpoint that can be opened.
public enum CheckpointFormat: String, Sendable {
    /// A folder with `config.json` and safetensors files.
    case huggingFace
    /// A `.gguf` file.
    case gguf
}

/// A model's weights and all that comes with them, under the names its own format gives them.
///
/// A family maps `configuration` to a ``DecoderConfiguration`` and the tensors' names to parameters.
public protocol Checkpoint: AnyObject, Sendable {
    /// The folder or file.
    var path: String { get }
    /// Which kind it is.
    var format: CheckpointFormat { get }
    /// `config.json`; of a GGUF file the metadata, each value under its own key, without the long lists of the tokenizer.
    var configuration: JSON { get }
    /// `generation_config.json`, where there is one.
    var generationConfiguration: JSON? { get }
    /// The tensors' names, in file order.
    var tensorNames: [String] { get }
    /// A tensor's dimensions, slowest first: PyTorch's order, which is the reverse of GGUF's.
    ///
    /// - Throws: ``InputError`` with the nearest name where there is none of this name; so do the other functions.
    func shape(of name: String) throws -> [Int]
    /// How a tensor is stored, in the format's own words: `F32`, `BF16`, `Q4_1` …
    func storageType(of name: String) throws -> String
    /// A tensor's bytes as stored, at any alignment. Valid as long as the checkpoint lives.
    func rawBytes(_ name: String) throws -> UnsafeRawBufferPointer
    /// Reads a tensor as `Float`s, row-major; `target` must have exactly its number of elements.
    ///
    /// - Throws: ``InputError`` where its type cannot be read as numbers.
    func readFloats(_ name: String, into target: UnsafeMutableBufferPointer<Float>) throws
    /// How most matrices are stored, where the files hold them in a type that they can be kept in: NF4. Else nil.
    var quantization: DType? { get }
    /// A matrix that the files hold in NF4, with their codes and scales; nil for any other tensor.
    func quantizedMatrix(_ name: String) throws -> Tensor?
    /// Lets go of the memory that a tensor's bytes took when they were read; they can be read again.
    func releasePages(of name: String) throws
    /// The tokenizer that comes with the weights: `tokenizer.json` beside them, or made from a GGUF file's metadata.
    ///
    /// - Throws: ``InputError`` where there is none, or it is broken.
    func tokenizer() throws -> Tokenizer
}

extension Checkpoint {
    /// Few formats hold what is kept in memory as it is.
    public var quantization: DType? { nil }
    /// See ``quantization``.
    public func quantizedMatrix(_ name: String) throws -> Tensor? { nil }

    /// A hash of the weights that tells models apart in a fraction of a second.
    ///
    /// It is taken over each tensor's name, shape, type and up to 64 KB of its bytes (sixteen pieces, evenly spread, the first and the last
    /// included), in the order of the names: how a model is split into files makes no difference.
    public func contentHash() throws -> String {
        let hash = ContentHash()
        let (pieces, pieceSize) = (16, 4096)
        for name in tensorNames.sorted() {
            hash.add(name)
            hash.add("\(try shape(of: name)) \(try storageType(of: name))")
            defer { try? releasePages(of: name) }
            let bytes = try rawBytes(name)
            guard bytes.count > pieces * pieceSize else {
                hash.add(bytes)
                continue
            }
            for piece in 0..<pieces {
                // Divided first: the product of a huge size and a piece number could overflow.
                let start = (bytes.count - pieceSize) / (pieces - 1) * piece
                let last = piece == pieces - 1 ? bytes.count - pieceSize : start
                hash.add(UnsafeRawBufferPointer(rebasing: bytes[last..<last + pieceSize]))
            }
        }
        return hash.hexadecimal
    }
}

/// Opens a model: a Hugging Face folder, a `.gguf` file, or `org/name` in the local Hugging Face cache.
///
/// - Throws: ``InputError`` where there is no such model or a file of it is broken, saying what is there instead and what to do.
public func openCheckpoint(_ path: String) throws -> any Checkpoint {
    switch try ModelLocation(path) {
    case .folder(let folder): try HuggingFaceCheckpoint(folder)
    case .gguf(let file): try GGUFCheckpoint(file)
    }
}
