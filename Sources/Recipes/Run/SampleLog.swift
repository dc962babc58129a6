import Files
import Trainers

/// `samples.jsonl`: some answers of each rollout and evaluation with their scores, as the run goes.
final class SampleLog {
    private let folder: RunFolder
    private let settings: RolloutSettings
    private var log: MetricsLog?

    /// Writes into a run's folder, once there is something to write; a resumed run keeps what its checkpoint knows of.
    init(_ folder: RunFolder, _ settings: RolloutSettings) {
        self.folder = folder
        self.settings = settings
    }

    /// Adds the first answers of a rollout.
    func add(_ rollout: Rollout, at moment: RolloutMoment) throws {
        guard settings.sampleGenerations > 0 else { return }
        let log =
            try self.log
            ?? MetricsLog(folder.samples, keepingThrough: folder.checkpoint?.state.step ?? 0, repeats: true)
        self.log = log
        let answers = zip(rollout.prompts, rollout.answers).flatMap { prompt, answers in
            answers.map { (prompt, $0) }
        }
        for (prompt, answer) in answers.prefix(settings.sampleGenerations) {
            try log.append(json(prompt, answer, moment))
        }
    }

    /// Waits until the disk has every line.
    func sync() throws { try log?.sync() }

    private func json(_ prompt: String, _ answer: JudgedAnswer, _ moment: RolloutMoment) -> JSON {
        var members: [(String, JSON)] = [
            ("step", .integer(moment.step)), ("kind", .string(moment.isEvaluation ? "evaluation" : "rollout")),
            ("prompt", .string(prompt)), ("answer", .string(answer.text)), ("score", .number(answer.score)),
            (
                "rewards",
                JSON(members: zip(settings.rewards, answer.scores).map { ($0.metricName, .number($1)) })
            ),
            ("tokens", .integer(answer.old.count)), ("ended", .bool(answer.isStopped)),
        ]
        if let divergence = answer.divergence { members.append(("kl", .number(divergence))) }
        return JSON(members: members)
    }
}
