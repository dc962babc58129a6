import Files
import Layers

/// A family of models: how its configuration files and checkpoint keys map to ours, both ways.
///
/// Adding a family is one file in `Families/` and one line in ``ModelRegistry``.
public protocol ModelFamily: Sendable {
    /// `model_type` in config.json.
    static var name: String { get }
    /// `architectures` in config.json.
    static var architecture: String { get }
    /// `general.architecture` in a GGUF file.
    static var ggufArchitecture: String { get }

    /// Reads config.json.
    static func configuration(huggingFace json: JSON, file: String) throws -> DecoderConfiguration
    /// Reads GGUF metadata.
    static func configuration(_ checkpoint: any Checkpoint, gguf metadata: JSON) throws -> DecoderConfiguration
    /// Writes config.json's keys, without those of the tokenizer.
    static func huggingFaceConfiguration(_ configuration: DecoderConfiguration) -> JSON
    /// Whether a checkpoint's key may be left unread: buffers that are computed, a head that is tied.
    static func mayIgnore(_ key: String, _ configuration: DecoderConfiguration) -> Bool
    /// Whether a parameter's rows are stored in GGUF's order of rotary pairs, and for how many heads.
    static func ggufPermutedHeads(_ parameter: String, _ configuration: DecoderConfiguration) -> Int?
}
