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

    private static let files = ["trainable.safetensors", "optimizer.safetensors", "state.json"]

    /// Writes a checkpoint and removes the oldest until `keep` are left.
    ///
    /// - Parameters:
    ///   - folder: the run's `checkpoints` folder.
    ///   - state: where the run is.
    ///   - parameters: what it trains.
    ///   - optimizer: whose state is kept.
    ///   - identity: what a run must agree with to go on from here, by key.
    ///   - keep: how many checkpoints stay.
    ///   - protected: steps that are kept whatever their age (the best one).
    /// - Throws: `RunError` where it cannot be written; the checkpoints before it are then untouched.
    public static func write(
        to folder: String, state: TrainingState, parameters: [(path: String, parameter: Parameter)],
        optimizer: any Optimizer, identity: [String: String], keep: Int, protected: Set<Int> = []
    ) throws {
        let target = "\(folder)/step-\(state.step)"
        let temporary = "\(folder)/.step-\(state.step).partial"
        try? FileManager.default.removeItem(atPath: temporary)
        try FileWriting.makeFolder(temporary)
        do {
            try SafetensorsWriter.write(
                parameters.map {
                    SafetensorsTensor($0.path, shape: $0.parameter.value.shape, $0.parameter.value.values)
                },
                to: "\(temporary)/trainable.safetensors")
            try SafetensorsWriter.write(
                optimizer.state.sorted { $0.key < $1.key }.map {
                    SafetensorsTensor($0.key, shape: $0.value.shape, $0.value.values)
                }, to: "\(temporary)/optimizer.safetensors")
            let document: JSON = [
                "state": state.json, "optimizer_steps": .integer(optimizer.stepCount),
                "kernel_path": .string(Device.cpu.path),
                "identity": .object(
                    .init(
                        identity.sorted { $0.key < $1.key }.map { ($0.key, .string($0.value)) },
                        uniquingKeysWith: { $1 })),
            ]
            try FileWriting.replace("\(temporary)/state.json", with: document.text(.indented(2)) + "\n")
            try FileWriting.replace(
                "\(temporary)/manifest.json", with: try manifest(of: temporary).text(.indented(2)) + "\n")
        } catch {
            try? FileManager.default.removeItem(atPath: temporary)
            throw error
        }
        try? FileManager.default.removeItem(atPath: target)
        guard rename(temporary, target) == 0 else {
            throw RunError("cannot write \(target): \(String(cString: strerror(errno)))")
        }
        try FileWriting.syncFolder(containing: target)
        let old = steps(in: folder).filter { !protected.contains($0) }.dropLast(max(1, keep))
        for step in old { try? FileManager.default.removeItem(atPath: "\(folder)/step-\(step)") }
    }

    /// The newest valid checkpoint in a run's `checkpoints` folder; nil where there is none.
    public static func newest(in folder: String) -> TrainingCheckpoint? {
        steps(in: folder).reversed().lazy.compactMap { try? TrainingCheckpoint("\(folder)/step-\($0)") }.first
    }

    /// Reads a checkpoint and checks it against its manifest.
    ///
    /// - Throws: ``InputError`` where a file is missing or is not what was written.
    public init(_ path: String) throws {
        self.path = path
        let recorded = try JSON(contentsOf: "\(path)/manifest.json")
        guard recorded == (try Self.manifest(of: path)) else {
            throw InputError("the checkpoint is not what was written", file: path)
        }
        let file = "\(path)/state.json"
        let document = try JSON(contentsOf: file)
        guard let steps = document["optimizer_steps"]?.integer, let kernelPath = document["kernel_path"]?.string,
            let identity = document["identity"]?.object
        else { throw InputError("is no training state", file: file) }
        state = try TrainingState(document["state"] ?? .null, file: file)
        optimizerSteps = steps
        self.kernelPath = kernelPath
        self.identity = identity.elements.reduce(into: [:]) { $0[$1.key] = $1.value.string ?? "" }
    }

    /// Puts weights and optimizer state back.
    ///
    /// - Throws: ``InputError`` where the checkpoint holds other parameters than the model trains.
    public func restore(_ parameters: [(path: String, parameter: Parameter)], _ optimizer: any Optimizer) throws {
        let weights = try SafetensorsFile("\(path)/trainable.safetensors")
        guard Set(weights.names) == Set(parameters.map(\.path)) else {
            throw InputError("the checkpoint holds other parameters than this run trains", file: weights.path)
        }
        for (name, parameter) in parameters {
            guard try weights.entry(name).shape == parameter.value.shape else {
                throw InputError("the parameter has another shape", file: weights.path, place: name)
            }
            parameter.value = Tensor(try weights.floats(name), shape: parameter.value.shape)
        }
        let moments = try SafetensorsFile("\(path)/optimizer.safetensors")
        optimizer.state = try moments.names.reduce(into: [:]) {
            $0[$1] = Tensor(try moments.floats($1), shape: try moments.entry($1).shape)
        }
        optimizer.stepCount = optimizerSteps
    }

    /// The steps of the folders that look like checkpoints, rising.
    private static func steps(in folder: String) -> [Int] {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
        return names.compactMap { $0.hasPrefix("step-") ? Int($0.dropFirst(5)) : nil }.sorted()
    }

    private static func manifest(of folder: String) throws -> JSON {
        var members: [(String, JSON)] = []
        for name in files {
            let file = try MappedFile("\(folder)/\(name)")
            members.append(
                (name, ["size": .integer(file.count), "xxh3_128": .string(try ContentHash.ofFile(file.path))]))
        }
        return ["files": .object(.init(members, uniquingKeysWith: { $1 }))]
    }
}
