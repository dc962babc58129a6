import Files

/// What a run's alarms remember: part of every checkpoint, so that a resumed run gives the same ones.
public struct HealthState: Hashable, Sendable {
    /// The alarms so far, in the order in which they fired; each once.
    public var fired: [FiredAlarm] = []
    /// Steps that changed weights, counted to three.
    var changes = 0
    /// What the alarms look at.
    var history = MetricHistory()

    /// The start of a run.
    public init() {}

    var json: JSON {
        func numbers(_ values: [Double]) -> JSON { .array(values.map { .number($0) }) }
        return [
            "fired": .array(fired.map(\.json)), "changes": .integer(changes),
            "metrics": JSON(
                members: history.series.sorted { $0.key < $1.key }.map { name, series in
                    let json: JSON = [
                        "count": .integer(series.count), "first": numbers(series.first), "last": numbers(series.last),
                    ]
                    return (name, json)
                }),
        ]
    }

    init(_ json: JSON, file: String) throws {
        let fault = InputError("is no training state", file: file, place: "`health`")
        guard let fired = json["fired"]?.array, let metrics = json["metrics"]?.object,
            let changes = json["changes"]?.integer, (0...3).contains(changes)
        else { throw fault }
        self.changes = changes
        func numbers(_ json: JSON, _ key: String, count: Int) throws -> [Double] {
            let values = (json[key]?.array ?? []).compactMap(\.number)
            guard values.count == min(count, MetricHistory.window) else { throw fault }
            return values
        }
        self.fired = try fired.map { json in
            guard let name = json["name"]?.string, let step = json["step"]?.integer,
                let sentence = json["sentence"]?.string
            else { throw fault }
            return FiredAlarm(name: name, step: step, sentence: sentence)
        }
        for (name, json) in metrics {
            guard let count = json["count"]?.integer, TrainingState.counts.contains(count) else { throw fault }
            history.series[name] = MetricHistory.Series(
                first: try numbers(json, "first", count: count), last: try numbers(json, "last", count: count),
                count: count)
        }
    }
}

extension FiredAlarm {
    /// The alarm as an object.
    public var json: JSON { ["name": .string(name), "step": .integer(step), "sentence": .string(sentence)] }
}
