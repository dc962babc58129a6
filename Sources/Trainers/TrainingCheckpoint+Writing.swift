import Files
import Foundation
import Layers
import Tensors

extension TrainingCheckpoint {
    /// Writes a checkpoint, removes the oldest until `keep` are left, and those of later steps: they belong to a course of the run that
    /// was left behind.
    ///
    /// - Parameters:
    ///   - folder: the run's `checkpoints` folder, made where it is missing.
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
        try FileWriting.makeFolder(folder)
        try FileWriting.syncFolder(containing: folder)
        try settleLeftovers(in: folder)
        let partial = "\(folder)/\(partialName(state.step))"
        do {
            try FileWriting.makeFolder(partial)
            try write(parameters.map { ($0.path, $0.parameter.value) }, to: "\(partial)/\(weightsName)")
            try write(optimizer.state.sorted { $0.key < $1.key }, to: "\(partial)/\(optimizerName)")
            let document: JSON = [
                "state": state.json, "optimizer_steps": .integer(optimizer.stepCount),
                "kernel_path": .string(Device.cpu.path),
                "identity": JSON(members: identity.sorted { $0.key < $1.key }.map { ($0.key, .string($0.value)) }),
            ]
            try FileWriting.replace("\(partial)/\(stateName)", with: document.text(.indented(2)) + "\n")
            let manifest = try manifest(of: partial)
            try FileWriting.replace("\(partial)/\(manifestName)", with: manifest.text(.indented(2)) + "\n")
        } catch {
            try? FileManager.default.removeItem(atPath: partial)
            throw error
        }
        try giveName(partial, "\(folder)/\(name(state.step))")
        let steps = steps(in: folder)
        let old = steps.filter { $0 <= state.step && !protected.contains($0) }.dropLast(max(1, keep))
        for step in old + steps.filter({ $0 > state.step }) { try remove("\(folder)/\(name(step))") }
    }

    private static func write(_ tensors: [(String, Tensor)], to path: String) throws {
        try SafetensorsWriter.write(
            tensors.map { name, tensor in
                SafetensorsTensor(name, .f32, shape: tensor.shape) { sink in try tensor.withFloats(sink) }
            }, to: path)
    }

    /// What a crash left half way: a whole folder that only lacks its name gets it, anything else goes.
    private static func settleLeftovers(in folder: String) throws {
        for step in leftovers(in: folder) {
            let (partial, target) = ("\(folder)/\(partialName(step))", "\(folder)/\(name(step))")
            let isNeeded = (try? TrainingCheckpoint(target)) == nil && (try? TrainingCheckpoint(partial)) != nil
            if isNeeded { try giveName(partial, target) } else { try remove(partial) }
        }
    }

    /// Renames a whole checkpoint. What had the name goes first; until the rename is done, the partial folder counts as a checkpoint.
    private static func giveName(_ partial: String, _ target: String) throws {
        try FileWriting.syncFolder(containing: partial)
        try remove(target)
        guard rename(partial, target) == 0 else {
            throw RunError("cannot write \(target): \(String(cString: strerror(errno)))")
        }
        try FileWriting.syncFolder(containing: target)
    }

    private static func remove(_ path: String) throws {
        if case .missing = PathKind(path) { return }
        do { try FileManager.default.removeItem(atPath: path) } catch {
            throw RunError("cannot remove \(path): \(error.localizedDescription)")
        }
    }
}
