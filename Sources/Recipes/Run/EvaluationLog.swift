import Files
import Trainers

/// `evaluation.json`: every evaluation of a run under the name of its moment: `before`, `step 100`, `after`.
final class EvaluationLog {
    private let folder: RunFolder
    private var results: [(moment: String, result: EvaluationResult)] = []
    private static let name = "evaluation.json"

    /// Goes on with the file of a run that is resumed, without what came after its checkpoint.
    init(_ folder: RunFolder) throws {
        self.folder = folder
        let path = "\(folder.path)/\(Self.name)"
        guard let checkpoint = folder.checkpoint, case .file = PathKind(path) else { return }
        for (moment, json) in try JSON(contentsOf: path).object ?? [:] {
            let step = moment.hasPrefix("step ") ? Int(moment.dropFirst(5)) : nil
            guard moment != "after", step.map({ $0 <= checkpoint.state.step }) ?? true,
                let result = EvaluationResult(json)
            else { continue }
            results.append((moment, result))
        }
    }

    subscript(_ moment: String) -> EvaluationResult? { results.last { $0.moment == moment }?.result }

    func record(_ result: EvaluationResult, as moment: String) throws {
        results.removeAll { $0.moment == moment }
        results.append((moment, result))
        let members = results.map { ($0.moment, $0.result.json) }
        try folder.write(.object(.init(members, uniquingKeysWith: { $1 })), to: Self.name)
    }
}
