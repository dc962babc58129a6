import Files
import Tokenizers

/// A model in one GGUF file.
final class GGUFCheckpoint: Checkpoint {
    let format = CheckpointFormat.gguf
    let configuration: JSON
    let generationConfiguration: JSON? = nil
    private let file: GGUFFile

    init(_ path: String) throws {
        file = try GGUFFile(path)
        configuration = try file.configuration()
        guard configuration["general.architecture"]?.string != nil else {
            throw InputError("does not say its architecture", file: path, place: "key 'general.architecture'")
        }
    }

    var path: String { file.path }

    var tensorNames: [String] { file.names }

    func shape(of name: String) throws -> [Int] { try file.entry(name).shape }

    func storageType(of name: String) throws -> String { try file.entry(name).type.name }

    func rawBytes(_ name: String) throws -> UnsafeRawBufferPointer { try file.rawBytes(name) }

    func readFloats(_ name: String, into target: UnsafeMutableBufferPointer<Float>) throws {
        try file.readFloats(name, into: target)
    }

    func releasePages(of name: String) throws { try file.releasePages(of: name) }

    /// What the file holds of a tokenizer.
    func vocabulary() throws -> TokenizerVocabulary { try file.tokenizerVocabulary() }

    func tokenizer() throws -> Tokenizer {
        do {
            return try Tokenizer(vocabulary())
        } catch let error as InputError {
            throw error.inFile(path)
        }
    }
}
