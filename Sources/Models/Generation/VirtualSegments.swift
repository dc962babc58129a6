import Layers
import Tensors

extension CausalLM {
    /// The virtual tokens of active adapters, read once: what a cache begins with, shared by all sequences.
    ///
    /// - Parameters:
    ///   - adapters: the active adapters.
    ///   - dtype: how keys and values are stored.
    /// - Returns: full segments in the order in which they are read; none where no active adapter has virtual tokens.
    func virtualSegments(_ adapters: [String], dtype: DType) -> [KeyValueSegment] {
        let start = ForwardContext(SequenceLayout([]), adapters: adapters).computing(in: precision)
        let prefix = VirtualPrefix(of: model, start)
        var segments = prefix.keyCounts.enumerated().map { number, count in
            let segment = KeyValueSegment(configuration, capacity: count, dtype: dtype)
            for layer in 0..<configuration.layers {
                let pair = prefix.keys(layer: layer)[number]
                segment.write(0..<count, keys: pair.keys, values: pair.values, layer: layer)
            }
            segment.advance(count)
            return segment
        }
        if let embeddings = prefix.embeddings {
            segments.append(KeyValueSegment(configuration, capacity: embeddings.rows, dtype: dtype))
            let cache = KVCache([segments])
            let context = ForwardContext(
                cache.layout(appending: [embeddings.rows]), adapters: adapters, keyValues: cache
            ).computing(in: precision)
            _ = model.states(embeddings, context) { _ in [] }
            cache.advance()
        }
        return segments
    }

    /// How many virtual tokens active adapters put before every sequence.
    func virtualTokenCount(_ adapters: [String]) -> Int { adapters.reduce(0) { $0 + (model.slot[$1]?.count ?? 0) } }

    /// The tokens that all prompts begin with, read once.
    ///
    /// - Parameters:
    ///   - prompts: token ids.
    ///   - leading: what stands before them.
    ///   - adapters: the active adapters.
    ///   - options: how many tokens are shared, and how keys and values are stored.
    /// - Returns: a full segment, or none.
    func prefixSegments(
        _ prompts: [[Int32]], after leading: [KeyValueSegment], _ adapters: [String], _ options: DecodingOptions
    ) -> [KeyValueSegment] {
        guard options.sharedPrefix > 0, let first = prompts.first else { return [] }
        let tokens = Array(first[..<options.sharedPrefix])
        precondition(
            prompts.allSatisfy { $0.count > tokens.count && $0.starts(with: tokens) },
            "prompts that do not share \(tokens.count) tokens")
        let segment = KeyValueSegment(configuration, capacity: tokens.count, dtype: options.cacheType)
        let cache = KVCache([leading + [segment]])
        _ = states(
            tokens,
            ForwardContext(cache.layout(appending: [tokens.count]), adapters: adapters, keyValues: cache))
        cache.advance()
        return [segment]
    }
}
