import Files
import Foundation
import Tokenizers
import Trainers

/// What becomes of a run that the output folder already holds.
public enum ExistingRun: Sendable {
    /// It is an error.
    case refuse
    /// It is removed once the new run is known to be able to start.
    case overwrite
    /// It goes on.
    case resume
}

/// The folder of one run: where everything it writes goes.
struct RunFolder {
    let path: String
    /// Where the run goes on; nil for a run from the start.
    let checkpoint: TrainingCheckpoint?

    private static let traces = [
        "metrics.jsonl", "samples.jsonl", "evaluation.json", "reward_card.json", "value_head.safetensors",
        "value_adapter", "recipe.resolved.yaml",
        "adapter_config.json", "adapter_model.safetensors",
        "model.safetensors", "model.safetensors.index.json", "checkpoints",
    ]

    var checkpoints: String { path + "/checkpoints" }
    var metrics: String { path + "/metrics.jsonl" }
    var samples: String { path + "/samples.jsonl" }

    /// Looks at the folder without changing anything.
    ///
    /// - Throws: ``InputError`` where it holds a run that may not be touched, or none that could be resumed.
    init(_ path: String, existing: ExistingRun) throws {
        self.path = path
        let holdsRun = Self.traces.contains { if case .missing = PathKind("\(path)/\($0)") { false } else { true } }
        switch existing {
        case .refuse where holdsRun:
            throw InputError(
                "the output folder already holds a run", file: path,
                hint: "--resume goes on with it, --overwrite starts anew, --set output.path=… writes elsewhere")
        case .resume where !holdsRun: throw InputError("there is no run to resume", file: path)
        // A run that was stopped before its first checkpoint has nothing to go on from, and starts again.
        case .resume: checkpoint = TrainingCheckpoint.newest(in: path + "/checkpoints")
        case .refuse, .overwrite: checkpoint = nil
        }
    }

    /// Makes the folder ready to be written to: empties it of an earlier run, unless that goes on.
    func prepare() throws {
        if checkpoint == nil {
            for name in Self.traces { try? FileManager.default.removeItem(atPath: "\(path)/\(name)") }
        }
        try FileWriting.makeFolder(path)
    }

    /// Moves what was written beside the run into its folder.
    func takeFiles(of staged: String) throws {
        for name in try FileManager.default.contentsOfDirectory(atPath: staged) {
            guard rename("\(staged)/\(name)", "\(path)/\(name)") == 0 else {
                throw RunError("cannot write \(path)/\(name): \(String(cString: strerror(errno)))")
            }
        }
        try FileManager.default.removeItem(atPath: staged)
    }

    func write(_ text: String, to name: String) throws { try FileWriting.replace("\(path)/\(name)", with: text) }

    func write(_ json: JSON, to name: String) throws { try write(json.text(.indented(2)) + "\n", to: name) }

    /// Copies the tokenizer and chat template beside the weights, so that the folder says how the run's tokens were made.
    func write(_ tokenizer: Tokenizer) throws {
        for (name, bytes) in tokenizer.files {
            try FileWriting.replace("\(path)/\(name)") { sink in try bytes.withUnsafeBytes { try sink.write($0) } }
        }
    }
}
