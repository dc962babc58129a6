import Files
import Foundation
import Layers
import Tensors

/// A point of a run from which it goes on bit for bit: `checkpoints/step-N/`.
///
/// | file | holds |
/// |---|---|
/// | `trainable.safetensors` | every trainable parameter, f32 |
/// | `optimizer.safetensors` | the optimizer's state |
/// | `state.json` | counters, the best evaluation, the kernel path, and what the run must agree with to go on |
/// | `manifest.json` | sizes and hashes of the others |
///
/// The folder is written under another name, synced and renamed, the manifest last: at any instant a crash leaves whole
/// checkpoints only. A folder without a valid manifest is passed over.
public struct TrainingCheckpoint {
    /// The folder.
    public let path: String
    /// Where the run was.
    public let state: TrainingState
    /// The optimizer's steps.
    public let optimizerSteps: Int
    /// The kernel path it ran on.
    public let kernelPath: String
    /// What the run must agree with to go on, by key.
    public let identity: [String: String]

    static let weightsName = "trainable.safetensors"
    static let optimizerName = "optimizer.safetensors"
    static let stateName = "state.json"
    static let manifestName = "manifest.json"

    /// The newest valid checkpoint in a run's `checkpoints` folder; nil where there is none. Changes nothing.
    ///
    /// A folder that was complete when a crash kept it from getting its name counts.
    public static func newest(in folder: String) -> TrainingCheckpoint? {
        let steps = Set(steps(in: folder) + leftovers(in: folder)).sorted(by: >)
        let paths = steps.flatMap { ["\(folder)/\(name($0))", "\(folder)/\(partialName($0))"] }
        return paths.lazy.compactMap { try? TrainingCheckpoint($0) }.first
    }

    /// Reads a checkpoint and checks it against its manifest.
    ///
    /// - Throws: `InputError` where a file is missing or is not what was written.
    public init(_ path: String) throws {
        self.path = path
        let recorded = try JSON(contentsOf: "\(path)/\(Self.manifestName)")
        guard recorded == (try Self.manifest(of: path)) else {
            throw InputError("the checkpoint is not what was written", file: path)
        }
        let file = "\(path)/\(Self.stateName)"
        let document = try JSON(contentsOf: file)
        guard let steps = document["optimizer_steps"]?.integer, TrainingState.counts.contains(steps),
            let kernelPath = document["kernel_path"]?.string, let identity = document["identity"]?.object
        else { throw InputError("is no training state", file: file) }
        state = try TrainingState(document["state"] ?? .null, file: file)
        optimizerSteps = steps
        self.kernelPath = kernelPath
        self.identity = identity.elements.reduce(into: [:]) { $0[$1.key] = $1.value.string ?? "" }
    }

    /// Puts weights and optimizer state back: all of them, or none where one does not fit.
    ///
    /// - Throws: `InputError` where the checkpoint holds other parameters than the model trains, or another optimizer's state.
    public func restore(_ parameters: [(path: String, parameter: Parameter)], _ optimizer: any Optimizer) throws {
        let weights = try SafetensorsFile("\(path)/\(Self.weightsName)")
        let expected = Set(parameters.map(\.path))
        if let other = expected.symmetricDifference(weights.names).min() {
            throw InputError(
                expected.contains(other)
                    ? "the checkpoint has no parameter '\(other)', which this run trains"
                    : "the checkpoint holds the parameter '\(other)', which this run does not train", file: weights.path
            )
        }
        let shapes = Dictionary(parameters.map { ($0.path, $0.parameter.value.shape) }, uniquingKeysWith: { $1 })
        let values = try parameters.map { try tensor($0.path, of: weights, shape: $0.parameter.value.shape) }
        let moments = try SafetensorsFile("\(path)/\(Self.optimizerName)")
        let state = try moments.names.map { name in
            guard let dot = name.lastIndex(of: "."), let shape = shapes[String(name[..<dot])],
                type(of: optimizer).stateKinds.contains(String(name[name.index(after: dot)...]))
            else {
                throw InputError("is no state that this run's optimizer keeps", file: moments.path, place: name)
            }
            return (name, try tensor(name, of: moments, shape: shape))
        }
        for ((_, parameter), value) in zip(parameters, values) { parameter.value = value }
        optimizer.state = Dictionary(state, uniquingKeysWith: { $1 })
        optimizer.stepCount = optimizerSteps
    }

    private func tensor(_ name: String, of file: SafetensorsFile, shape: [Int]) throws -> Tensor {
        let entry = try file.entry(name)
        guard entry.shape == shape else {
            throw InputError("has shape \(entry.shape), not \(shape)", file: file.path, place: name)
        }
        return try Tensor(shape: shape) { try file.readFloats(name, into: $0) }
    }

    // The folder's names.

    static func name(_ step: Int) -> String { "step-\(step)" }
    static func partialName(_ step: Int) -> String { ".step-\(step).partial" }

    /// The steps of the folders that have the name of a checkpoint, rising.
    static func steps(in folder: String) -> [Int] { steps(in: folder, named: name) }

    /// The steps of the folders that were being written, rising.
    static func leftovers(in folder: String) -> [Int] { steps(in: folder, named: partialName) }

    private static func steps(in folder: String, named name: (Int) -> String) -> [Int] {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
        return names.compactMap { text in
            guard let step = Int(text.filter(\.isNumber)), name(step) == text else { return nil }
            return step
        }.sorted()
    }

    static func manifest(of folder: String) throws -> JSON {
        let files = try [weightsName, optimizerName, stateName].map { name -> (String, JSON) in
            let file = try MappedFile("\(folder)/\(name)")
            return (name, ["size": .integer(file.count), "xxh3_128": .string(try ContentHash.ofFile(file.path))])
        }
        return ["files": JSON(members: files)]
    }
}
