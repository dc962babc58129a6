import Files
import Foundation
import Layers
import Tensors
import TestSupport
import Testing
import Trainers

@Suite("Checkpoints") struct CheckpointTests {
    private static let files = ["trainable.safetensors", "optimizer.safetensors", "state.json", "manifest.json"]

    @Test("what was written comes back, and the oldest go")
    func roundTrip() throws {
        let folder = try TemporaryFolder()
        for step in [5, 10, 15, 100] { try Run(step).write(to: folder, keep: 2, protected: [5]) }
        #expect(try names(folder) == ["step-100", "step-15", "step-5"])
        let checkpoint = try #require(TrainingCheckpoint.newest(in: folder.path))
        #expect(checkpoint.state == Run(100).state && checkpoint.optimizerSteps == 100)
        #expect(checkpoint.kernelPath == Device.cpu.path && checkpoint.identity == Run.identity)
        let other = Run(3)
        try checkpoint.restore(other.parameters, other.optimizer)
        #expect(other.values == Run(100).values)
        #expect(other.optimizer.stepCount == 100)
    }

    @Test("an optimizer without state leaves an empty file that reads back")
    func noState() throws {
        let folder = try TemporaryFolder()
        let run = Run(1)
        try TrainingCheckpoint.write(
            to: folder.path, state: run.state, parameters: run.parameters, optimizer: SGD(), identity: [:], keep: 1)
        let sgd = SGD()
        try #require(TrainingCheckpoint.newest(in: folder.path)).restore(run.parameters, sgd)
        #expect(sgd.state.isEmpty)
    }

    @Test("a missing, shortened, longer or changed file: the checkpoint is passed over", arguments: files)
    func damage(_ name: String) throws {
        let folder = try TemporaryFolder()
        for step in [5, 10] { try Run(step).write(to: folder) }
        let bytes = try ByteSource(folder.file("step-10/\(name)")).readAll()
        var flipped = bytes
        flipped[bytes.count / 2] ^= 1
        for damaged in [Array(bytes.dropLast(7)), [], flipped, bytes + [1]] {
            try folder.write(damaged, to: "step-10/\(name)")
            #expect(throws: InputError.self) { try TrainingCheckpoint(folder.file("step-10")) }
            #expect(TrainingCheckpoint.newest(in: folder.path)?.state.step == 5)
        }
        try FileManager.default.removeItem(atPath: folder.file("step-10/\(name)"))
        #expect(TrainingCheckpoint.newest(in: folder.path)?.state.step == 5)
        try folder.write(bytes, to: "step-10/\(name)")
        #expect(TrainingCheckpoint.newest(in: folder.path)?.state.step == 10)
    }

    @Test("without a whole checkpoint there is none")
    func nothing() throws {
        let folder = try TemporaryFolder()
        #expect(TrainingCheckpoint.newest(in: folder.file("missing")) == nil)
        try folder.write("{}", to: "step-7/manifest.json")
        try folder.write("no folder", to: "step-8")
        try folder.write("{}", to: "step-99999999999999999999/manifest.json")
        #expect(TrainingCheckpoint.newest(in: folder.path) == nil)
    }

    /// Every state of the folder that a crash can leave while step 10 is written for the second time: the files appear one by one,
    /// then the old folder loses its files one by one, then the new one gets its name.
    @Test("a crash at any instant leaves a checkpoint, and the next one clears up")
    func crashes() throws {
        let done = try TemporaryFolder()
        try Run(10).write(to: done)
        for instant in 0...(2 * Self.files.count + 1) {
            let folder = try TemporaryFolder()
            for step in [5, 10] { try Run(step).write(to: folder) }
            for name in Self.files.prefix(instant) {
                try folder.write(ByteSource(done.file("step-10/\(name)")).readAll(), to: ".step-10.partial/\(name)")
            }
            if instant < Self.files.count { try folder.write("half", to: ".step-10.partial/state.json.partial") }
            for name in Self.files.prefix(max(0, instant - Self.files.count)) {
                try FileManager.default.removeItem(atPath: folder.file("step-10/\(name)"))
            }
            if instant > 2 * Self.files.count { try FileManager.default.removeItem(atPath: folder.file("step-10")) }

            let checkpoint = try #require(TrainingCheckpoint.newest(in: folder.path))
            #expect(checkpoint.state.step == 10, "instant \(instant)")
            let run = Run(3)
            try checkpoint.restore(run.parameters, run.optimizer)
            #expect(run.values == Run(10).values)
            try Run(15).write(to: folder, keep: 2)
            #expect(try names(folder) == ["step-10", "step-15"], "instant \(instant)")
            #expect(throws: Never.self) { try TrainingCheckpoint(folder.file("step-10")) }
        }
    }

    @Test("checkpoints of later steps, whole or not, go: the run took another course")
    func laterSteps() throws {
        let folder = try TemporaryFolder()
        for step in [5, 10, 15] { try Run(step).write(to: folder) }
        try folder.write("", to: "step-15/state.json")
        try Run(7).write(to: folder, keep: 1)
        #expect(try names(folder) == ["step-7"])
    }

    @Test("other parameters, other shapes, another optimizer: an error, and nothing has changed")
    func mismatches() throws {
        let folder = try TemporaryFolder()
        try Run(5).write(to: folder)
        let checkpoint = try #require(TrainingCheckpoint.newest(in: folder.path))
        let run = Run(3)
        let extra = Parameter(.zeros([2]), isTrainable: true)
        let reshaped = Parameter(.zeros([3, 2]), isTrainable: true)
        let cases: [([(path: String, parameter: Parameter)], any Optimizer, String)] = [
            (run.parameters + [("c", extra)], run.optimizer, "has no parameter 'c'"),
            ([run.parameters[0]], run.optimizer, "holds the parameter 'layer.b'"),
            ([run.parameters[1], ("layer.a", reshaped)], run.optimizer, "has shape [2, 3], not [3, 2]"),
            (run.parameters, SGD(), "is no state that this run's optimizer keeps"),
        ]
        for (parameters, optimizer, message) in cases {
            let before = (run.values, optimizer.state.count)
            let error = #expect(throws: InputError.self) { try checkpoint.restore(parameters, optimizer) }
            #expect(error?.description.contains(message) == true, "\(error?.description ?? "")")
            #expect(run.values == before.0 && optimizer.state.count == before.1)
        }
    }

    @Test("counters out of range are refused, not computed with")
    func counters() throws {
        for text in ["-1", "9223372036854775807", "1e300", "\"3\"", "null"] {
            let folder = try TemporaryFolder()
            try Run(5).write(to: folder)
            let state = try folder.read("step-5/state.json").replacing("\"tokens\": 500", with: "\"tokens\": \(text)")
            try folder.write(state, to: "step-5/state.json")
            let members = try ["optimizer.safetensors", "state.json", "trainable.safetensors"].sorted().map { name in
                let path = folder.file("step-5/\(name)")
                return (
                    name,
                    ["size": .integer(try MappedFile(path).count), "xxh3_128": .string(try ContentHash.ofFile(path))]
                        as JSON
                )
            }
            let order = ["trainable.safetensors", "optimizer.safetensors", "state.json"]
            let sorted = order.compactMap { name in members.first { $0.0 == name } }
            try folder.write(JSON(members: [("files", JSON(members: sorted))]).text(), to: "step-5/manifest.json")
            let error = #expect(throws: InputError.self) { try TrainingCheckpoint(folder.file("step-5")) }
            #expect(error?.place == "`tokens`")
        }
    }

    /// The process may write files of 8 KB only: what the limit does to a write is what a full disk does.
    @Test("a disk that is full while saving: an error, and the checkpoint before is still there")
    func fullDisk() async {
        await #expect(processExitsWith: .success) {
            let folder = try TemporaryFolder()
            // As in a program's main thread: the threads that tests run on have most signals blocked.
            signal(SIGXFSZ, SIG_DFL)
            var signals = sigset_t()
            sigaddset(&signals, SIGXFSZ)
            pthread_sigmask(SIG_UNBLOCK, &signals, nil)
            try Run(5).write(to: folder)
            var limit = rlimit(rlim_cur: 8192, rlim_max: rlim_t.max)
            #expect(setrlimit(__rlimit_resource_t(RLIMIT_FSIZE.rawValue), &limit) == 0)
            let error = #expect(throws: RunError.self) { try Run(10, size: 5000).write(to: folder) }
            #expect(error?.description.contains("File too large") == true)
            #expect(TrainingCheckpoint.newest(in: folder.path)?.state.step == 5)
            #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path) == ["step-5"])
        }
    }

    private func names(_ folder: TemporaryFolder) throws -> [String] {
        try FileManager.default.contentsOfDirectory(atPath: folder.path).sorted()
    }
}

/// Two parameters and an optimizer whose numbers say which step they are of.
private struct Run {
    static let identity = ["dataset.train": "abc", "model": "ü/\"quoted\""]
    let parameters: [(path: String, parameter: Parameter)]
    let optimizer = AdamW()
    let state: TrainingState

    init(_ step: Int, size: Int = 3) {
        func tensor(_ value: Int, _ rows: Int) -> Tensor {
            Tensor((0..<rows * size).map { Float(value * 100 + $0) }, shape: [rows, size])
        }
        parameters = [
            ("layer.a", Parameter(tensor(step, 2), isTrainable: true)),
            ("layer.b", Parameter(tensor(-step, 1), isTrainable: true)),
        ]
        optimizer.stepCount = step
        for (path, parameter) in parameters {
            optimizer.state["\(path).exp_avg"] = tensor(step + 1, parameter.value.rows)
            optimizer.state["\(path).exp_avg_sq"] = tensor(step + 2, parameter.value.rows)
        }
        var state = TrainingState()
        state.step = step
        state.tokens = 100 * step
        state.best = .init(loss: 1 / 3, step: step)
        self.state = state
    }

    var values: [[Float]] {
        parameters.map(\.parameter.value.values) + optimizer.state.sorted { $0.key < $1.key }.map(\.value.values)
    }

    func write(to folder: TemporaryFolder, keep: Int = 3, protected: Set<Int> = []) throws {
        try TrainingCheckpoint.write(
            to: folder.path, state: state, parameters: parameters, optimizer: optimizer, identity: Self.identity,
            keep: keep, protected: protected)
    }
}
